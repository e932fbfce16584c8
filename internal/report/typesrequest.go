// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// Request is an ErasureRequest that was open at some time in the period.
type Request struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	// Part says that it was made from a request in another namespace, and is not counted as one of its own.
	Part       bool   `json:"part,omitempty"`
	Regulation string `json:"regulation,omitempty"`
	Ground     string `json:"ground,omitempty"`

	Received *time.Time `json:"received,omitempty"`
	// Due is the end of the time limit, an extension included; ExtendedFrom is what it was without.
	Due            *time.Time `json:"due,omitempty"`
	ExtendedFrom   *time.Time `json:"extendedFrom,omitempty"`
	ExtensionBasis string     `json:"extensionBasis,omitempty"`
	Answered       *time.Time `json:"answered,omitempty"`

	State RequestState `json:"state"`
	// DaysTaken is from receipt to answer, in whole days begun. DaysLeft is from now to the day on which an open request is
	// due, below 0 if that is over.
	DaysTaken *int  `json:"daysTaken,omitempty"`
	DaysLeft  *int  `json:"daysLeft,omitempty"`
	InTime    *bool `json:"inTime,omitempty"`

	// Answer is what the answer comes to, by the classes of CCPA regulations § 7102; empty for open requests.
	Answer  Answer         `json:"answer,omitempty"`
	Outcome string         `json:"outcome,omitempty"`
	Level   evidence.Level `json:"level,omitempty"`
	Erased  *Count         `json:"erased,omitempty"`
	Kept    *Count         `json:"kept,omitempty"`
	// Bases are why something was kept or denied.
	Bases      []string `json:"bases"`
	Recipients []string `json:"recipients"`
	// GoneBy is when the last backup has expired that may hold what was erased, BackupsExpired the statement that it has.
	GoneBy         *time.Time `json:"goneBy,omitempty"`
	BackupsExpired *Ref       `json:"backupsExpired,omitempty"`
	// Statements is how many answers were signed: more than one if a repetition has found more. Evidence is the latest; absent
	// if what stands here is only the object's status.
	Statements int  `json:"statements"`
	Evidence   *Ref `json:"evidence,omitempty"`
}

// RequestState is how far a request has come.
type RequestState string

// The states of a request.
const (
	RequestAnswered RequestState = "Answered"
	RequestDenied   RequestState = "Denied"
	RequestOpen     RequestState = "Open"
	RequestOverdue  RequestState = "Overdue"
	// RequestWithdrawn: it was deleted before it was answered.
	RequestWithdrawn RequestState = "Withdrawn"
)

// Answer is the class of an answer.
type Answer string

// The classes of answers. Every answered request is in exactly one.
const (
	// AnsweredWhole: all that was found is deleted or anonymized. AnsweredPart: some of it.
	AnsweredWhole Answer = "CompliedInWhole"
	AnsweredPart  Answer = "CompliedInPart"
	// AnsweredNothingFound: somebody looked everywhere, and there was nothing.
	AnsweredNothingFound Answer = "NothingFound"
	// AnsweredKept: all that was found is kept by an obligation or a hold.
	AnsweredKept   Answer = "AllKept"
	AnsweredDenied Answer = "Denied"
	// AnsweredNotDone: nothing was erased, or nobody can prove what was.
	AnsweredNotDone Answer = "NotDone"
)

// RequestMetrics are the numbers of CCPA regulations § 7102(a), for one regulation or for all. Two sums hold:
// CarriedOver + Received = Answered + Withdrawn + Open, and Answered is the sum of the six answers.
type RequestMetrics struct {
	// Regulation is empty for all requests together.
	Regulation string `json:"regulation,omitempty"`
	// CarriedOver were open when the period began, Received came in the period, Answered were answered in it, Withdrawn were
	// deleted in it without an answer, and Open were not answered when it ended.
	CarriedOver int `json:"carriedOver"`
	Received    int `json:"received"`
	Answered    int `json:"answered"`
	Withdrawn   int `json:"withdrawn"`
	Open        int `json:"open"`

	CompliedInWhole int `json:"compliedInWhole"`
	CompliedInPart  int `json:"compliedInPart"`
	NothingFound    int `json:"nothingFound"`
	AllKept         int `json:"allKept"`
	Denied          int `json:"denied"`
	NotDone         int `json:"notDone"`
	// DenialReasons are the reasons of those denied.
	DenialReasons []Tally `json:"denialReasons"`

	// InTime and Late are of the answered ones; those without a known limit are neither. Extended had their limit extended.
	// Overdue are of the open ones, now.
	InTime   int `json:"inTime"`
	Late     int `json:"late"`
	Extended int `json:"extended"`
	Overdue  int `json:"overdue"`

	Days Days `json:"days"`
}

// Days are how many days answers took: SumDays over Answers, of which the mean is rounded to hundredths, and the median is
// exact. Answers whose receipt is unknown are not among them.
type Days struct {
	Answers int      `json:"answers"`
	SumDays int      `json:"sumDays"`
	Median  *float64 `json:"median,omitempty"`
	Mean    *float64 `json:"mean,omitempty"`
	Longest *int     `json:"longest,omitempty"`
}
