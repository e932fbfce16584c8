// SPDX-License-Identifier: Apache-2.0

// Package metrics holds the metrics of the controllers, registered with the manager's own. Labels name objects and values
// of closed sets, nothing else; the series of an object go when it does.
package metrics
