// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"fmt"
	"net/http"

	"dataretention.dev/retention-operator/internal/evidence"
)

// The codes of an Error that are not those of an evidence.Problem.
const (
	CodeRequest     = "Request"     // 400: the request itself cannot be read
	CodeNotFound    = "NotFound"    // 404: no such entry, size or tile
	CodeRefused     = "Refused"     // 409: the log's rules do not let this statement in now, or ever
	CodeNotDue      = "NotDue"      // 409: it would be true later only
	CodeClock       = "Clock"       // 409: the statement is dated otherwise than the ledger's own clock
	CodePruned      = "Removed"     // 410: the statement was removed at the end of its retention
	CodeDamaged     = "Damaged"     // 500: the statement beside the tree is missing or is not what the tree says
	CodeUnavailable = "Unavailable" // 503: try again; whether an append was made is told by the next try
)

// Error is why a ledger does not do what it was asked for. It is the body of every answer that is not a success.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"-"`
	// Code is for programs: one of the above, or an evidence.Code with the status 422.
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *Error) Error() string { return e.Message }

func refuse(status int, code, format string, args ...any) *Error {
	return &Error{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func unavailable(format string, args ...any) *Error {
	return refuse(http.StatusServiceUnavailable, CodeUnavailable, format, args...)
}

// problem turns what the evidence package says of an envelope into an answer.
func problem(err error) error {
	var p *evidence.Problem
	if errors.As(err, &p) {
		return refuse(http.StatusUnprocessableEntity, string(p.Code), "%s", p.Sentence)
	}
	return refuse(http.StatusUnprocessableEntity, string(evidence.CodeStatement), "%v", err)
}
