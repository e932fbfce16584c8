// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"strings"
	"testing"
	"time"
)

const (
	policyUID  = "11111111-1111-4111-8111-111111111111"
	requestUID = "22222222-2222-4222-8222-222222222222"
	storeUID   = "33333333-3333-4333-8333-333333333333"
	holdUID    = "44444444-4444-4444-8444-444444444444"
	clusterUID = "00000000-0000-4000-8000-000000000001"

	billing = "billing-29545680"
	erasure = "erasure-29546000"
)

func ptr[T any](v T) *T { return &v }

func at(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

// stated is a statement with what all have.
func stated(kind Kind, key string, t time.Time, level Level) *Statement {
	return &Statement{
		Type: StatementType, PredicateType: PredicateType,
		Subject: []Subject{SHA256("plan", []byte(kind)), SHA256("datastore/orders", []byte("spec"))},
		Predicate: Predicate{
			Kind: kind, Key: key, Time: t, RetainUntil: t.AddDate(7, 0, 0), Level: level,
			Operator: Operator{
				Version: "0.4.0", Image: "example.com/retention-operator:0.4.0", Cluster: clusterUID,
				ImageDigests: []string{"example.com/retention-operator@" + DigestOf([]byte("image"))},
			},
		},
	}
}

func orders(level Level, datasets ...Dataset) Datastore {
	return Datastore{
		Object: Object{Namespace: "shop", Name: "orders", UID: storeUID, Generation: 3},
		Engine: EnginePostgreSQL, Identity: "postgresql/7309123456789012345/16384", ServerVersion: "17.6",
		PlanDigest: DigestOf([]byte("plan")), Job: "orders-billing-29545680-7c1d", Level: level,
		Purposes: []string{"billing"}, BackupRetention: "P35D", Datasets: datasets,
	}
}

func invoices(outcome string) Dataset {
	return Dataset{
		Name: "invoices", DataClass: "billing", Categories: []string{"user.contact"}, Rule: "invoices", Period: "P10Y",
		RuleReason: "the dataset is named by this rule, which beats the rule for its class",
		LegalBasis: "HGB § 257", Method: MethodDelete, Reversibility: ReversibilityOf(MethodDelete, EnginePostgreSQL),
		Cutoff: ptr(start.AddDate(-10, 0, 0)), Outcome: outcome,
	}
}

func deletedInvoices(n int64) Dataset {
	d := invoices("Deleted")
	d.Records, d.Matched, d.Deleted, d.Anonymized, d.Remaining = ptr(int64(90000)), &n, &n, ptr(int64(0)), ptr(int64(0))
	d.Undated, d.Counting, d.CountingMethod, d.Verification = ptr(int64(2)), "Exact", CountedRows, VerifiedRecount
	return d
}

func intentOf(t time.Time) *Statement {
	s := stated(Intent, ExecutionKey(policyUID, billing, "orders-billing-29545680-7c1d"), t, LevelNone)
	p := &s.Predicate
	p.Policy = &Policy{Object: Object{Namespace: "shop", Name: "billing", UID: policyUID, Generation: 2}, Schedule: "0 3 * * *", TimeZone: "Europe/Berlin"}
	p.Run = &Run{Name: billing, Trigger: "Schedule", Mode: ModeEnforce, Slot: ptr(start), StartTime: ptr(t)}
	p.Datastores = []Datastore{orders("", invoices(""))}
	return s
}

func resultOf(t time.Time, intent Reference, deleted int64) *Statement {
	s := intentOf(t)
	p := &s.Predicate
	p.Kind, p.Level, p.Outcome, p.Closes = Result, LevelDeleted, "Succeeded", &intent
	d := orders(LevelDeleted, deletedInvoices(deleted))
	d.StartTime, d.CompletionTime, d.Outcome = ptr(t.Add(-time.Minute)), ptr(t), "Succeeded"
	d.Attempts = []Attempt{
		{StartTime: ptr(t.Add(-time.Minute)), EndTime: ptr(t.Add(-30 * time.Second)), ExitCode: ptr(int32(143)), Reason: "Interrupted"},
		{StartTime: ptr(t.Add(-20 * time.Second)), EndTime: ptr(t), ExitCode: ptr(int32(0)), Reason: "Succeeded"},
	}
	d.ClockSkewMilliseconds, d.GoneBy, d.Verified = ptr(int64(-12)), ptr(t.AddDate(0, 0, 35)), ptr(true)
	d.Holds = []Hold{{Object: Object{Namespace: "shop", Name: "case-17", UID: holdUID, Generation: 1}, SeenTime: ptr(t.Add(-time.Minute)), Scope: "Subject"}}
	d.Excluded = []Exclusion{{Dataset: "addresses", Rule: "contacts", Reason: "RetainedByObligation", Message: "kept by rule invoices of policy tax"}}
	p.Datastores = []Datastore{d}
	p.LogicallyDeletedTime, p.GoneBy = ptr(t), ptr(t.AddDate(0, 0, 35))
	p.NotCovered = []Gap{
		{Kind: GapBackup, Name: "shop/orders", Reason: "BackupsHoldIt", Until: ptr(t.AddDate(0, 0, 35))},
		{Kind: GapEngine, Name: "shop/orders", Reason: "Vacuum", Message: "bytes stay in the files until the engine cleans up"},
	}
	s.Subject = append(s.Subject, SHA256("receipt/1", []byte("receipt 1")), SHA256("receipt/2", []byte("receipt 2")))
	return s
}

func conclusionOf(t time.Time, results ...Reference) *Statement {
	s := stated(Conclusion, policyUID+"/"+billing+"/Schedule", t, LevelIncomplete)
	p := &s.Predicate
	p.Policy, p.Run = intentOf(t).Predicate.Policy, intentOf(t).Predicate.Run
	p.Results, p.Outcome, p.Message = results, "Unreachable", "1 of 2 datastores could not be reached"
	p.Datastores = []Datastore{orders(LevelDeleted), {
		Object: Object{Namespace: "shop", Name: "archive"}, Level: LevelNotDone, Outcome: "Unreachable", Reason: "Unreachable",
	}}
	p.LogicallyDeletedTime, p.GoneBy = ptr(at(2)), ptr(at(2).AddDate(0, 0, 35))
	p.NotCovered = []Gap{{Kind: GapDatastore, Name: "shop/archive", Reason: "Unreachable"}}
	return s
}

func holdOf(kind Kind, t time.Time) *Statement {
	s := stated(kind, holdUID, t, LevelNone)
	s.Subject = []Subject{SHA256("hold/case-17", []byte("spec"))}
	s.Predicate.Hold = &Hold{
		Object: Object{Namespace: "shop", Name: "case-17", UID: holdUID, Generation: 1}, Reason: "Litigation", Authority: "LG Köln",
		Reference: "28 O 17/26", Scope: "Subject", EnforcedTime: ptr(t), Records: ptr(int64(14)),
	}
	if kind == HoldReleased {
		s.Predicate.Hold.ReleasedTime, s.Predicate.Hold.Release = ptr(t), "the case is closed"
	}
	return s
}

func customers(outcome string) Dataset {
	return Dataset{Name: "customers", DataClass: "customer", Method: MethodAnonymize, Outcome: outcome,
		Reversibility: ReversibilityOf(MethodAnonymize, EnginePostgreSQL)}
}

func eraseIntent(t time.Time, mode, job string) *Statement {
	s := stated(Intent, ExecutionKey(storeUID, erasure, job), t, LevelNone)
	p := &s.Predicate
	p.Run = &Run{Name: erasure, Mode: mode, StartTime: ptr(t)}
	p.Requests = []Object{{Namespace: "shop", Name: "request-1", UID: requestUID, Generation: 1}}
	d := orders("", customers(""))
	d.Job = job
	p.Datastores = []Datastore{d}
	return s
}

func searchResult(t time.Time, intent Reference) *Statement {
	s := eraseIntent(t, ModeSimulate, "orders-find-1")
	p := &s.Predicate
	p.Kind, p.Level, p.Outcome, p.Closes = Result, LevelNotDone, "Succeeded", &intent
	found := customers("")
	found.Found = ptr(int64(1))
	p.Datastores = []Datastore{orders(LevelNotDone, found)}
	return s
}

func eraseResult(t time.Time, intent Reference) *Statement {
	s := eraseIntent(t, ModeEnforce, "orders-erase-1")
	p := &s.Predicate
	p.Kind, p.Level, p.Outcome, p.Closes = Result, LevelRetained, "RetainedByObligation", &intent
	c := customers("Anonymized")
	c.Found, c.Anonymized, c.Remaining, c.Counting, c.CountingMethod = ptr(int64(1)), ptr(int64(1)), ptr(int64(0)), "Exact", CountedRows
	c.Verification = VerifiedRecount
	i := invoices("RetainedByObligation")
	i.Found, i.Retained, i.Remaining, i.Method, i.Reversibility = ptr(int64(3)), ptr(int64(3)), ptr(int64(0)), MethodRetain, ""
	p.Datastores = []Datastore{orders(LevelRetained, c, i)}
	p.LogicallyDeletedTime, p.GoneBy = ptr(t), ptr(t.AddDate(0, 0, 35))
	return s
}

func answerOf(t time.Time, key string, closes *Reference, results ...Reference) *Statement {
	s := stated(Conclusion, requestUID+"/"+key, t, LevelRetained)
	s.Subject = []Subject{SHA256("request/request-1", []byte("spec"))}
	p := &s.Predicate
	p.Closes, p.Results, p.Outcome = closes, results, "RetainedByObligation"
	p.Request = &Request{
		Object: Object{Namespace: "shop", Name: "request-1", UID: requestUID, Generation: 1}, Regulation: "GDPR", Ground: "ConsentWithdrawn",
		Channel: "Object", ReceivedTime: ptr(at(5)), DueTime: ptr(at(5).AddDate(0, 1, 0)), ApprovedTime: ptr(at(6)), AnsweredTime: ptr(t),
		Approval:  &Decision{Decision: "Approved", Reason: "IdentityChecked", Message: "checked by letter", Time: ptr(at(6)), By: "jane"},
		DaysTaken: ptr(int32(1)), IdentifierTypes: []string{"email"}, Commitments: []string{"argon2id:v1:AAAA:BBBB"},
		Recipients: []Recipient{{Name: "shipping partner", Datastore: "shop/orders"}}, Verified: ptr(true), Rechecks: 1, RecheckUntil: ptr(t.AddDate(0, 0, 40)),
	}
	p.Datastores = []Datastore{orders(LevelRetained)}
	p.LogicallyDeletedTime, p.GoneBy = ptr(at(9)), ptr(at(9).AddDate(0, 0, 35))
	p.NotCovered = []Gap{{Kind: GapRecipient, Name: "shipping partner", Reason: "NobodyChecked"}, {Kind: GapNamespace, Name: "crm", Reason: "NotAllowed"}}
	return s
}

func expiredOf(t time.Time, closes Reference, level Level) *Statement {
	s := stated(BackupsExpired, closes.Digest, t, level)
	digest := strings.TrimPrefix(closes.Digest, "sha256:")
	s.Subject = []Subject{{Name: "statement", Digest: map[string]string{"sha256": digest}}}
	s.Predicate.Closes = &closes
	return s
}

func prunedOf(t time.Time, indices ...int64) *Statement {
	s := stated(Pruned, "before/"+t.Format(time.RFC3339), t, LevelNone)
	s.Subject = []Subject{SHA256("checkpoint", []byte("checkpoint"))}
	s.Predicate.Pruned = &PrunedEntries{Before: t, Indices: indices}
	return s
}

// The entries of story.
const (
	anIntent = iota
	aResult
	aConclusion
	aHold
	aSearchIntent
	aSearchResult
	anEraseIntent
	anEraseResult
	anAnswer
	aNewAnswer
	aRelease
	anExpiry
	storySize
)

// story is a ledger with every kind of statement but Pruned, in the order in which they come.
func story(t testing.TB) *testLog {
	l := newLog(t)
	intent := l.add(intentOf(at(1)))
	result := l.add(resultOf(at(2), intent, 1200))
	l.add(conclusionOf(at(3), result))
	l.add(holdOf(HoldEnforced, at(4)))
	find := l.add(eraseIntent(at(7), ModeSimulate, "orders-find-1"))
	found := l.add(searchResult(at(8), find))
	erase := l.add(eraseIntent(at(8), ModeEnforce, "orders-erase-1"))
	erased := l.add(eraseResult(at(9), erase))
	answer := l.add(answerOf(at(10), "1", nil, found, erased))
	l.add(answerOf(at(60), "2", &answer, found, erased))
	l.add(holdOf(HoldReleased, at(70)))
	l.add(expiredOf(at(2).AddDate(0, 0, 36), result, LevelDeleted))
	return l
}

// later is when the whole story has been told.
var later = start.AddDate(0, 0, 37)

func TestStory(t *testing.T) {
	l := story(t)
	if got := len(l.leaves); got != storySize {
		t.Fatalf("the story has %d entries, want %d", got, storySize)
	}
	trust := trustOf(t, testKeys()...)
	for i := range int64(storySize) {
		file, err := l.bundle(i, storySize, later).Encode()
		if err != nil {
			t.Fatal(err)
		}
		v, err := Verify(file, trust)
		if err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if v.Index != i || v.Checkpoint.Size != storySize || v.Checkpoint.Origin != testOrigin || v.KeyID != KeyID(public(testKey("statement"))) {
			t.Errorf("entry %d: %+v", i, v)
		}
		if w := v.Witnessed(); w == nil || !w.Equal(later) || v.Checkpoint.Witness != testWitness {
			t.Errorf("entry %d: witnessed %v by %q, want %v", i, w, v.Checkpoint.Witness, later)
		}
	}
	report, err := VerifyLog(l.export(later, 0, 1, 5, 9), trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("%s: %s", p.Code, p.Sentence)
	}
	if len(report.Earlier) != 4 || report.Size != storySize || report.Kinds[Result] != 3 || len(report.Dangling) != 0 {
		t.Errorf("%+v", report)
	}
}
