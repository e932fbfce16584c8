// SPDX-License-Identifier: Apache-2.0

// Package controllers is the control plane: the manager, and the list of its controllers. It reads what people want from
// the API server, decides, starts Jobs, and writes what came of it into statuses. It never touches a datastore, and never
// reads a Secret.
package controllers
