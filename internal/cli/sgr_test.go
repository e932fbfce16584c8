// SPDX-License-Identifier: Apache-2.0

package cli

import "regexp"

// sgr is a colour.
var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")
