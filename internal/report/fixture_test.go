// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// log is a ledger without signatures: the report does not look at them.
type log struct {
	t       testing.TB
	entries []Entry
}

// add appends a statement and returns the reference to it.
func (l *log) add(p evidence.Predicate) *evidence.Reference {
	l.t.Helper()
	if p.RetainUntil.IsZero() {
		p.RetainUntil = p.Time.AddDate(7, 0, 0)
	}
	p.Operator = evidence.Operator{Version: "v1.4.0", Cluster: "5b1f2c5e-0000-4000-8000-000000000000"}
	s := &evidence.Statement{
		Type: evidence.StatementType, PredicateType: evidence.PredicateType,
		Subject: []evidence.Subject{evidence.SHA256("plan", []byte(p.Key))}, Predicate: p,
	}
	s.Normalize()
	if err := s.Validate(); err != nil {
		l.t.Fatalf("statement %d (%s %s) is none: %v", len(l.entries), p.Kind, p.Key, err)
	}
	return l.raw(s)
}

// raw appends what need not be valid.
func (l *log) raw(s *evidence.Statement) *evidence.Reference {
	l.t.Helper()
	payload, err := s.Encode()
	if err != nil {
		l.t.Fatal(err)
	}
	p := &s.Predicate
	e := Entry{Index: int64(len(l.entries)), Statement: s, Leaf: evidence.Leaf{
		Version: evidence.LeafVersion, Kind: p.Kind, Key: evidence.KeyHash(p.Kind, p.Key), Statement: evidence.DigestOf(payload), Time: p.Time,
		RetainUntil: p.RetainUntil, GoneBy: p.GoneBy,
	}}
	if p.Closes != nil {
		e.Leaf.Closes = &p.Closes.Index
	}
	l.entries = append(l.entries, e)
	return &evidence.Reference{Kind: p.Kind, Index: e.Index, Digest: e.Leaf.Statement}
}

// prune takes a statement away.
func (l *log) prune(index int64) { l.entries[index].Statement = nil }

func n(v int64) *int64               { return &v }
func at(t time.Time) *time.Time      { return &t }
func day(y, m, d, h int) time.Time   { return time.Date(y, time.Month(m), d, h, 0, 0, 0, time.UTC) }
func date(m, d int) time.Time        { return day(2026, m, d, 9) }
func micro(t time.Time) metav1.Time  { return metav1.NewTime(t) }
func quarter() (from, til time.Time) { return berlin(2026, 1, 1), berlin(2026, 4, 1) }

var zone = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return l
}()

func berlin(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, zone) }

// run is one run of a policy on one Datastore.
type run struct {
	policy    evidence.Policy
	name      string
	trigger   string
	mode      string
	time      time.Time
	datastore evidence.Datastore
	level     evidence.Level
	outcome   string
	message   string
	gaps      []evidence.Gap
	goneBy    *time.Time
	closes    *evidence.Reference // the former Conclusion
	job       string
}

// run logs Intent, Result and Conclusion of a run.
func (l *log) run(r run) (result, conclusion *evidence.Reference) {
	l.t.Helper()
	if r.mode == "" {
		r.mode = evidence.ModeEnforce
	}
	if r.trigger == "" {
		r.trigger = "Schedule"
	}
	key := evidence.ExecutionKey(r.policy.UID, r.name, r.name+"-"+r.trigger+r.job)
	about := evidence.Run{Name: r.name, Trigger: r.trigger, Mode: r.mode, Slot: at(r.time.Add(-10 * time.Minute))}
	policy := r.policy
	intent := l.add(evidence.Predicate{Kind: evidence.Intent, Key: key, Time: r.time.Add(-9 * time.Minute), Level: evidence.LevelNone,
		Policy: &policy, Run: &about, Datastores: []evidence.Datastore{{Object: r.datastore.Object}}})
	d := r.datastore
	d.Level, d.Outcome, d.Message = r.level, r.outcome, r.message
	d.CompletionTime = at(r.time.Add(-time.Minute))
	p := evidence.Predicate{Kind: evidence.Result, Key: key, Time: r.time, Level: r.level, Outcome: r.outcome, Message: r.message, Closes: intent,
		Policy: &policy, Run: &about, Datastores: []evidence.Datastore{d}, NotCovered: r.gaps}
	if gone := totalOf(d); gone > 0 {
		p.LogicallyDeletedTime, p.GoneBy = d.CompletionTime, r.goneBy
		p.Datastores[0].GoneBy = r.goneBy
	}
	result = l.add(p)
	about.CompletionTime = at(r.time)
	whole := d
	whole.Datasets, whole.Excluded = nil, nil
	p.Kind, p.Key, p.Time, p.Closes = evidence.Conclusion, r.policy.UID+"/"+r.name+"/"+r.trigger+r.job, r.time.Add(time.Second), r.closes
	p.Results, p.Datastores = []evidence.Reference{*result}, []evidence.Datastore{whole}
	if r.level == evidence.LevelNotDone && r.outcome == "Unreachable" {
		p.NotCovered = append(p.NotCovered, evidence.Gap{Kind: evidence.GapDatastore, Name: d.Name, Reason: "Unreachable", Message: r.message})
	}
	return result, l.add(p)
}

func totalOf(d evidence.Datastore) int64 {
	var sum int64
	for _, ds := range d.Datasets {
		sum += value(ds.Deleted) + value(ds.Anonymized)
	}
	return sum
}

// deleted is a dataset from which records were deleted, and none is left.
func deleted(name, class string, count int64) evidence.Dataset {
	d := evidence.Dataset{Name: name, DataClass: class, Rule: class, Period: "P2Y", LegalBasis: "Art. 5(1)(e) GDPR", Method: evidence.MethodDelete,
		Outcome: "Deleted", Records: n(count * 20), Matched: n(count), Deleted: n(count), Remaining: n(0), Blocked: n(0), Undated: n(0), Invalid: n(0),
		Retained: n(0), Counting: "Exact", CountingMethod: evidence.CountedRows, Verification: evidence.VerifiedRecount}
	if count == 0 {
		d.Outcome = "NothingDue"
	}
	return d
}

func policyOf(ns, name, schedule string) evidence.Policy {
	return evidence.Policy{Object: evidence.Object{Namespace: ns, Name: name, UID: "uid-" + ns + "-" + name, Generation: 3}, Schedule: schedule, TimeZone: "Europe/Berlin"}
}

func datastoreOf(ns, name, backups string) evidence.Datastore {
	return evidence.Datastore{Object: evidence.Object{Namespace: ns, Name: name, UID: "uid-" + ns + "-" + name}, Engine: evidence.EnginePostgreSQL,
		ServerVersion: "16.4", BackupRetention: backups}
}

// rich is a quarter with something of everything.
func rich(t testing.TB) Input { return richOn(t, func(int) bool { return true }) }

// richOn is rich with the policies' runs on some days only, which are counted from 0.
func richOn(t testing.TB, on func(day int) bool) Input {
	from, until := quarter()
	l := &log{t: t}
	rng := rand.New(rand.NewPCG(1, 2))

	// A statement that was removed at its end, and the announcement.
	old := l.add(evidence.Predicate{Kind: evidence.HoldEnforced, Key: "uid-hold-ancient", Time: day(2025, 1, 3, 8), RetainUntil: day(2026, 2, 1, 0), Level: evidence.LevelNone,
		Hold: &evidence.Hold{Object: evidence.Object{Namespace: "shop", Name: "ancient", UID: "uid-hold-ancient"}, EnforcedTime: at(day(2025, 1, 3, 8))}})

	// Holds: one from before, one within, and one whose object is gone.
	holdOrders := evidence.Hold{Object: evidence.Object{Namespace: "shop", Name: "lg-berlin-2025-0417", UID: "uid-hold-1"}, Scope: "Condition",
		Reason: "Pending litigation over order disputes", Authority: "Landgericht Berlin", Reference: "27 O 417/25", EnforcedTime: at(day(2025, 11, 12, 10)), Records: n(1312)}
	l.add(evidence.Predicate{Kind: evidence.HoldEnforced, Key: "uid-hold-1", Time: day(2025, 11, 12, 10), Level: evidence.LevelNone, Hold: ptr.To(holdOrders)})
	audit := evidence.Hold{Object: evidence.Object{Namespace: "crm", Name: "tax-audit-2022", UID: "uid-hold-2"}, Scope: "Datasets", Reason: "Tax audit of the year 2022",
		Authority: "Finanzamt für Körperschaften II", Reference: "StNr 37/123/45678", EnforcedTime: at(date(1, 19))}
	l.steady(rng, from, holdOrders, on)
	enforced := l.add(evidence.Predicate{Kind: evidence.HoldEnforced, Key: "uid-hold-2", Time: date(3, 31), Level: evidence.LevelNone, Hold: ptr.To(audit)})
	audit.ReleasedTime, audit.Release = at(date(3, 31).Add(time.Hour)), "The audit has ended without findings"
	l.add(evidence.Predicate{Kind: evidence.HoldReleased, Key: "uid-hold-2", Time: date(3, 31).Add(time.Hour), Level: evidence.LevelNone, Closes: enforced, Hold: ptr.To(audit)})
	l.add(evidence.Predicate{Kind: evidence.HoldEnforced, Key: "uid-hold-3", Time: date(3, 31).Add(2 * time.Hour), Level: evidence.LevelNone,
		Hold: &evidence.Hold{Object: evidence.Object{Namespace: "hr", Name: "works-council-12", UID: "uid-hold-3"}, Scope: "Subject", Reason: "Dispute before the works council",
			Authority: "Legal department", EnforcedTime: at(date(3, 2)), Records: n(41)}})

	l.requests()
	l.add(evidence.Predicate{Kind: evidence.Pruned, Key: "pruned-1", Time: date(3, 31).Add(5 * time.Hour), Level: evidence.LevelNone,
		Pruned: &evidence.PrunedEntries{Before: day(2026, 2, 2, 0), Indices: []int64{old.Index}}})
	l.prune(old.Index)

	// An Intent without a Result.
	leads := policyOf("crm", "leads", "0 4 * * 1")
	l.add(evidence.Predicate{Kind: evidence.Intent, Key: evidence.ExecutionKey(leads.UID, "leads-20260330t0200z", "leads-x"), Time: date(3, 31).Add(6 * time.Hour), Level: evidence.LevelNone,
		Policy: &leads, Run: &evidence.Run{Name: "leads-20260330t0200z", Mode: evidence.ModeEnforce}, Datastores: []evidence.Datastore{{Object: datastoreOf("crm", "leads-db", "").Object}}})

	size := int64(len(l.entries))
	return Input{
		From: from, Until: until, Zone: zone, Now: berlin(2026, 4, 2).Add(9 * time.Hour), By: "Data protection office", Version: "v1.4.0",
		Source: "the ledger of the cluster", Entries: l.entries, Live: richLive(),
		Verification: Verification{Signatures: true, Inclusion: true, Origin: "dataretention.dev/ledger/5b1f2c5e-0000-4000-8000-000000000000", Size: &size,
			Root: "q0F4Ueu7E6Vqk2mI5tB5kKp0c1nJXqjv3yqJm1yZr2w=", Witnessed: 1, Statements: size - 1, Pruned: 1,
			Keys: []Key{{Use: "statement", ID: "2f1c4a6e9b7d8035c1e4f6a8b9d0c2e3f4a5b6c7d8e9f00112233445566778899", Created: at(day(2025, 1, 2, 8))},
				{Use: "log", Name: "dataretention.dev/ledger/5b1f2c5e-0000-4000-8000-000000000000", ID: "a0c4e6b8d2f41357a0c4e6b8d2f41357a0c4e6b8d2f41357a0c4e6b8d2f41357"}}},
	}
}

// steady are the runs of a quarter, day by day, in order of time.
func (l *log) steady(rng *rand.Rand, from time.Time, hold evidence.Hold, on func(int) bool) {
	customers, logs := policyOf("shop", "customer-data", "0 3 * * *"), policyOf("shop", "access-logs", "30 1 * * *")
	leads, applicants := policyOf("crm", "leads", "0 4 * * 1"), policyOf("hr", "applicants", "0 5 * * 3")
	trial := policyOf("billing", "invoices-trial", "0 6 * * 5")
	var waiting *evidence.Reference
	for i := range 90 {
		if !on(i) {
			continue
		}
		morning := from.AddDate(0, 0, i).Add(3*time.Hour + 20*time.Minute)
		name := func(p evidence.Policy) string { return p.Name + "-" + morning.UTC().Format("20060102t1504z") }
		if i != 46 && i != 47 { // the operator was down
			l.customerRun(rng, customers, name(customers), morning, i, hold)
		}
		l.logRun(rng, logs, name(logs), morning.Add(time.Hour), i)
		switch morning.In(zone).Weekday() {
		case time.Monday:
			waiting = l.leadRun(rng, leads, name(leads), morning.Add(2*time.Hour), i, waiting)
		case time.Wednesday:
			l.applicantRun(applicants, name(applicants), morning.Add(3*time.Hour), i)
		case time.Friday:
			ds := deleted("invoices", "invoice", 830+int64(i))
			ds.Outcome, ds.Deleted, ds.Remaining, ds.Blocked, ds.Verification = "Simulated", nil, nil, nil, ""
			d := datastoreOf("billing", "billing-db", "P1Y")
			d.Datasets = []evidence.Dataset{ds}
			l.run(run{policy: trial, name: name(trial), mode: evidence.ModeSimulate, time: morning.Add(4 * time.Hour), datastore: d, level: evidence.LevelNotDone, outcome: "Simulated"})
		}
	}
}

func (l *log) customerRun(rng *rand.Rand, p evidence.Policy, name string, when time.Time, i int, hold evidence.Hold) {
	orders := deleted("orders", "order", 300+rng.Int64N(400))
	orders.Held, orders.Retained, orders.Outcome = n(1312), n(48210+int64(i)*12), "RetainedByObligation"
	customers := deleted("customers", "contact", 40+rng.Int64N(60))
	clicks := deleted("clickstream", "behaviour", 2000+rng.Int64N(1500))
	d := datastoreOf("shop", "orders-db", "P30D")
	level, outcome := evidence.LevelRetained, "Succeeded"
	if i >= 72 && i <= 74 {
		customers.Remaining, customers.Blocked, customers.Outcome, customers.Constraints = n(17), n(17), "Blocked", []string{"loyalty_cards_customer_id_fkey"}
		level, outcome = evidence.LevelIncomplete, "Incomplete"
	}
	h := hold
	h.SeenTime = at(when)
	d.Holds = []evidence.Hold{h}
	d.Excluded = []evidence.Exclusion{
		{Dataset: "orders", Rule: "bookkeeping", Reason: "RetainAtLeast", Message: "policy bookkeeping retains for P10Y: § 147 AO"},
		{Dataset: "newsletter", Rule: "marketing", Reason: "LostToExplicit", Message: "rule newsletter names the dataset"},
	}
	d.Datasets = []evidence.Dataset{clicks, orders, customers}
	gone := when.AddDate(0, 0, 30)
	result, _ := l.run(run{policy: p, name: name, time: when, datastore: d, level: level, outcome: outcome, goneBy: &gone,
		gaps: []evidence.Gap{{Kind: evidence.GapBackup, Name: "orders-db", Reason: "Declared", Until: &gone},
			{Kind: evidence.GapEngine, Name: "orders-db", Reason: "Vacuum", Message: "Until the engine has cleaned up, the bytes are in its files; replicas, exports and caches are out of sight"}}})
	if i <= 55 && i != 40 { // its backups have expired since; one was forgotten
		l.expire(result, gone.Add(10*time.Minute), p, name, d)
	}
}

// expire says that backups have expired. It stands out of order of time, which the report does not mind.
func (l *log) expire(of *evidence.Reference, when time.Time, p evidence.Policy, run string, d evidence.Datastore) {
	l.add(evidence.Predicate{Kind: evidence.BackupsExpired, Key: of.Digest, Time: when, Level: evidence.LevelRetained, Closes: of,
		Policy: &evidence.Policy{Object: p.Object}, Run: &evidence.Run{Name: run, Mode: evidence.ModeEnforce},
		Datastores: []evidence.Datastore{{Object: d.Object, Level: evidence.LevelRetained}}})
}

func (l *log) logRun(rng *rand.Rand, p evidence.Policy, name string, when time.Time, i int) {
	ds := deleted("access_log", "telemetry", 9000+rng.Int64N(4000))
	ds.Method, ds.DroppedPartitions = evidence.MethodDropPartition, 1
	d := datastoreOf("shop", "logs-db", "P7D")
	level, outcome, message := evidence.LevelDeleted, "Succeeded", ""
	switch {
	case i == 33: // the server died in a commit
		ds.Counting = "AtLeast"
	case i == 61: // a receipt was lost
		ds.Outcome, ds.Reason, ds.Deleted, ds.DroppedPartitions, ds.Remaining, ds.Blocked = "Failed", "ReceiptLost", nil, 0, nil, nil
		ds.Counting = "AtLeast"
		level, outcome, message = evidence.LevelUnproven, "Failed", "The Job is gone, and its receipt with it"
	case i%9 == 4:
		ds = deleted("access_log", "telemetry", 0)
		level = evidence.LevelNothingFound
	}
	d.Datasets = []evidence.Dataset{ds}
	gone := when.AddDate(0, 0, 7)
	result, _ := l.run(run{policy: p, name: name, time: when, datastore: d, level: level, outcome: outcome, message: message, goneBy: &gone})
	if i < 80 && level == evidence.LevelDeleted {
		l.add(evidence.Predicate{Kind: evidence.BackupsExpired, Key: result.Digest, Time: gone.Add(time.Minute), Level: level, Closes: result,
			Policy: &evidence.Policy{Object: p.Object}, Run: &evidence.Run{Name: name, Mode: evidence.ModeEnforce}, Datastores: []evidence.Datastore{{Object: d.Object, Level: level}}})
	}
}

func (l *log) leadRun(rng *rand.Rand, p evidence.Policy, name string, when time.Time, i int, waiting *evidence.Reference) *evidence.Reference {
	ds := deleted("leads", "marketing", 0)
	ds.Method, ds.Outcome, ds.Deleted, ds.Anonymized = evidence.MethodAnonymize, "Anonymized", nil, n(120+rng.Int64N(80))
	ds.Matched = ds.Anonymized
	d := datastoreOf("crm", "leads-db", "")
	d.Datasets = []evidence.Dataset{ds}
	r := run{policy: p, name: name, time: when, datastore: d, level: evidence.LevelAnonymized, outcome: "Succeeded",
		gaps: []evidence.Gap{{Kind: evidence.GapBackup, Name: "leads-db", Reason: "NotDeclared", Message: "Nobody has declared how long backups are kept"}}}
	if i/7 == 8 { // more than expected, and approved a day later
		stopped := r
		held := ds
		held.Outcome, held.Anonymized, held.Matched, held.Remaining, held.Blocked, held.Verification = "AwaitingApproval", nil, n(4218), nil, nil, ""
		stopped.datastore.Datasets = []evidence.Dataset{held}
		stopped.level, stopped.outcome, stopped.message, stopped.gaps = evidence.LevelNotDone, "AwaitingApproval", "4218 records are due, and guardrails allow 1000", nil
		_, waiting = l.run(stopped)
		r.trigger, r.closes, r.time = "Approval", waiting, when.Add(20*time.Hour)
		r.datastore.Datasets[0].Anonymized, r.datastore.Datasets[0].Matched = n(4218), n(4218)
	}
	l.run(r)
	return waiting
}

func (l *log) applicantRun(p evidence.Policy, name string, when time.Time, i int) {
	d := datastoreOf("hr", "applicants-db", "P90D")
	if i/7 == 4 || i/7 == 5 {
		l.run(run{policy: p, name: name, time: when, datastore: d, level: evidence.LevelNotDone, outcome: "Unreachable", message: "No connection to the server"})
		return
	}
	ds := deleted("applications", "applicant", 3+int64(i%5))
	ds.Undated = n(6)
	d.Datasets = []evidence.Dataset{ds}
	gone := when.AddDate(0, 0, 90)
	l.run(run{policy: p, name: name, time: when, datastore: d, level: evidence.LevelDeleted, outcome: "Succeeded", goneBy: &gone,
		gaps: []evidence.Gap{{Kind: evidence.GapDataset, Name: "applicants-db/interview_notes", Reason: "NoRule", Message: "no rule of the policy covers the dataset"}}})
}

func ref(t time.Time) *metav1.Time { return ptr.To(metav1.NewTime(t)) }

func richLive() *Live {
	policy := func(ns, name, schedule string, compliant metav1.ConditionStatus, reason string, rules ...v1alpha1.Rule) v1alpha1.RetentionPolicy {
		return v1alpha1.RetentionPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, UID: types.UID("uid-" + ns + "-" + name), CreationTimestamp: micro(day(2025, 6, 1, 8))},
			Spec:       v1alpha1.RetentionPolicySpec{Schedule: schedule, TimeZone: "Europe/Berlin", Rules: rules},
			Status: v1alpha1.RetentionPolicyStatus{NextScheduleTime: ref(day(2026, 4, 3, 1)),
				Conditions: []metav1.Condition{{Type: v1alpha1.ConditionCompliant, Status: compliant, Reason: reason}}},
		}
	}
	fresh := policy("billing", "receipts", "0 2 1 * *", metav1.ConditionUnknown, v1alpha1.ReasonNeverRun,
		v1alpha1.Rule{Name: "receipts", DataClasses: []v1alpha1.DataClass{"invoice"}, DeleteAfter: "P10Y", LegalBasis: "§ 147 AO"})
	fresh.CreationTimestamp = micro(date(3, 16))
	request := func(name, regulation string, received, due time.Time, change func(*v1alpha1.ErasureRequest)) v1alpha1.ErasureRequest {
		r := v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, UID: types.UID("uid-" + name), CreationTimestamp: micro(received)},
			Status: v1alpha1.ErasureRequestStatus{State: v1alpha1.ErasureErasing, Regulation: v1alpha1.Regulation(regulation), ReceivedTime: ref(received), DueTime: ref(due)}}
		if change != nil {
			change(&r)
		}
		return r
	}
	return &Live{
		Policies: []v1alpha1.RetentionPolicy{
			policy("shop", "customer-data", "0 3 * * *", metav1.ConditionTrue, v1alpha1.ReasonNoOverdueRecords,
				v1alpha1.Rule{Name: "customers", DataClasses: []v1alpha1.DataClass{"contact"}, DeleteAfter: "P3Y", LegalBasis: "Art. 5(1)(e) GDPR"},
				v1alpha1.Rule{Name: "clicks", Datasets: []v1alpha1.DatasetName{"clickstream"}, DeleteAfter: "P90D", LegalBasis: "Art. 6(1)(a) GDPR, consent"},
				v1alpha1.Rule{Name: "orders", DataClasses: []v1alpha1.DataClass{"order"}, DeleteAfter: "P3Y", RetainAtLeast: "P10Y", LegalBasis: "§ 147 AO"}),
			policy("shop", "access-logs", "30 1 * * *", metav1.ConditionTrue, v1alpha1.ReasonNoOverdueRecords,
				v1alpha1.Rule{Name: "logs", DataClasses: []v1alpha1.DataClass{"telemetry"}, DeleteAfter: "P30D"}),
			policy("crm", "leads", "0 4 * * 1", metav1.ConditionUnknown, v1alpha1.ReasonNotObserved,
				v1alpha1.Rule{Name: "cold-leads", Datasets: []v1alpha1.DatasetName{"leads"}, DeleteAfter: "P1Y", Action: v1alpha1.ActionAnonymize}),
			fresh,
		},
		Datastores: []v1alpha1.Datastore{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "logs-db"}, Spec: v1alpha1.DatastoreSpec{Backups: &v1alpha1.Backups{Retention: "P7D"}}}},
		Requests: []v1alpha1.ErasureRequest{
			request("er-2026-0040", "GDPR", date(3, 25), day(2026, 4, 27, 21), nil),
			request("er-2026-0023", "CCPA", date(2, 10), day(2026, 3, 27, 22), nil),
			request("er-2026-0035", "CCPA", date(3, 1), day(2026, 5, 30, 22), func(r *v1alpha1.ErasureRequest) {
				r.Status.Extension = &v1alpha1.ErasureExtension{Reason: "The archive has to be restored first", OriginalDueTime: micro(day(2026, 4, 15, 21))}
			}),
			request("er-2026-0031", "GDPR", date(2, 26), day(2026, 3, 26, 22), func(r *v1alpha1.ErasureRequest) {
				r.Status.State, r.Status.AnsweredTime, r.Status.Outcome = v1alpha1.ErasureAnswered, ref(date(3, 12)), "Deleted"
			}),
		},
		Holds: []v1alpha1.LegalHold{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "lg-berlin-2025-0417", UID: "uid-hold-1"},
				Spec: v1alpha1.LegalHoldSpec{Reason: "Pending litigation over order disputes", Authority: "Landgericht Berlin", Reference: "27 O 417/25"}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "crm", Name: "regulator-2026-3", UID: "uid-hold-4"},
				Spec: v1alpha1.LegalHoldSpec{Reason: "Inquiry of the regulator", Authority: "BlnBDI", Reference: "521.14503"}},
		},
	}
}

// requests are answers of every kind.
func (l *log) requests() {
	const gdpr, ccpa = "GDPR", "CCPA"
	for i, q := range []struct {
		name, regulation string
		received, due    time.Time
		answered         time.Time
		level            evidence.Level
		outcome          string
		dataset          func(*evidence.Dataset)
		change           func(*evidence.Predicate)
	}{
		{"er-2025-0112", ccpa, day(2025, 12, 10, 9), day(2026, 1, 24, 22), date(1, 8), evidence.LevelDeleted, "Deleted", nil, nil},
		{"er-2026-0001", gdpr, date(1, 3), day(2026, 2, 3, 22), date(1, 5), evidence.LevelDeleted, "Deleted", nil, nil},
		{"er-2026-0004", gdpr, date(1, 9), day(2026, 2, 9, 22), date(1, 21), evidence.LevelRetained, "RetainedByObligation",
			func(d *evidence.Dataset) {
				d.Retained, d.Outcome, d.LegalBasis = n(8), "RetainedByObligation", "§ 147 AO"
			}, nil},
		{"er-2026-0007", gdpr, date(1, 12), day(2026, 2, 12, 22), date(1, 14), evidence.LevelNothingFound, "NotFound",
			func(d *evidence.Dataset) { d.Found, d.Deleted, d.Outcome = n(0), n(0), "NotFound" }, nil},
		{"er-2026-0009", ccpa, date(1, 15), day(2026, 3, 1, 22), date(1, 30), evidence.LevelNotDone, "Denied",
			func(d *evidence.Dataset) {
				d.Found, d.Deleted, d.Remaining, d.Outcome, d.Verification = nil, nil, nil, "NotRun", ""
			},
			func(p *evidence.Predicate) {
				p.Request.Approval = &evidence.Decision{Decision: "Denied", Reason: "IdentityNotVerified", Message: "The identity could not be verified", Time: at(date(1, 30))}
			}},
		{"er-2026-0012", gdpr, date(1, 20), day(2026, 2, 20, 22), date(2, 27), evidence.LevelDeleted, "Deleted", nil, nil},
		{"er-2026-0015", gdpr, date(1, 28), day(2026, 4, 28, 21), date(3, 20), evidence.LevelDeleted, "Deleted", nil,
			func(p *evidence.Predicate) {
				p.Request.ExtendedFrom, p.Request.ExtensionBasis = at(day(2026, 2, 28, 22)), "Number and complexity of the requests"
			}},
		{"er-2026-0018", ccpa, date(2, 2), day(2026, 3, 19, 22), date(2, 20), evidence.LevelAnonymized, "Anonymized",
			func(d *evidence.Dataset) {
				d.Method, d.Deleted, d.Anonymized, d.Outcome = evidence.MethodAnonymize, nil, n(5), "Anonymized"
			}, nil},
		{"er-2026-0020", gdpr, date(2, 5), day(2026, 3, 5, 22), date(2, 18), evidence.LevelRetained, "RetainedByHold",
			func(d *evidence.Dataset) { d.Found, d.Deleted, d.Held, d.Outcome = n(3), n(0), n(3), "RetainedByHold" }, nil},
		{"er-2026-0026", gdpr, date(2, 16), day(2026, 3, 16, 22), date(3, 2), evidence.LevelUnproven, "Failed",
			func(d *evidence.Dataset) {
				d.Outcome, d.Reason, d.Counting, d.Remaining = "Failed", "AccountLost", "AtLeast", nil
			}, nil},
		{"er-2026-0028", ccpa, date(2, 20), day(2026, 4, 6, 21), date(3, 9), evidence.LevelNotDone, "Withdrawn",
			func(d *evidence.Dataset) {
				d.Found, d.Deleted, d.Remaining, d.Outcome, d.Verification = nil, nil, nil, "NotRun", ""
			}, nil},
		{"er-2026-0030", gdpr, date(2, 24), day(2026, 3, 24, 22), date(3, 4), evidence.LevelDeleted, "Deleted", nil, nil},
	} {
		uid := "uid-" + q.name
		d := datastoreOf("shop", "orders-db", "P30D")
		d.Level, d.Outcome = q.level, q.outcome
		ds := evidence.Dataset{Name: "customers", DataClass: "contact", Method: evidence.MethodDelete, Outcome: "Deleted", Found: n(11 + int64(i)), Deleted: n(11 + int64(i)),
			Remaining: n(0), Counting: "Exact", Verification: evidence.VerifiedRecount}
		if q.dataset != nil {
			q.dataset(&ds)
		}
		d.Datasets = []evidence.Dataset{ds}
		if q.outcome == "RetainedByHold" {
			d.Holds = []evidence.Hold{{Object: evidence.Object{Namespace: "shop", Name: "lg-berlin-2025-0417", UID: "uid-hold-1"}, Reference: "27 O 417/25"}}
		}
		var results []evidence.Reference
		if ds.Outcome != "NotRun" {
			results = append(results, *l.erasureResult(uid, q.answered, d, q.level))
		}
		p := evidence.Predicate{Kind: evidence.Conclusion, Key: uid + "/1", Time: q.answered, Level: q.level, Outcome: q.outcome,
			Request: &evidence.Request{Object: evidence.Object{Namespace: "shop", Name: q.name, UID: uid}, Regulation: q.regulation, Channel: "Object",
				ReceivedTime: &q.received, DueTime: &q.due, AnsweredTime: &q.answered},
			Datastores: []evidence.Datastore{d}, Results: results}
		if q.regulation == gdpr {
			p.Request.Ground = "Art. 17(1)(b)"
		}
		if totalOf(d) > 0 {
			gone := q.answered.AddDate(0, 0, 30)
			p.LogicallyDeletedTime, p.GoneBy = &q.answered, &gone
			p.Request.Recipients = []evidence.Recipient{{Name: "Mailing service", Datastore: "orders-db"}}
			p.NotCovered = []evidence.Gap{{Kind: evidence.GapRecipient, Name: "Mailing service", Reason: "NotNotified",
				Message: "datastore orders-db discloses data to it; it has to be told, and nobody has checked that it deletes"}}
		}
		if q.outcome == "Withdrawn" {
			p.Request.AnsweredTime = nil
		}
		if q.change != nil {
			q.change(&p)
		}
		first := l.add(p)
		if q.name == "er-2026-0030" { // repeated, and in another namespace
			l.second(p, first)
		}
	}
}

// erasureResult logs the run that served a request.
func (l *log) erasureResult(uid string, when time.Time, d evidence.Datastore, level evidence.Level) *evidence.Reference {
	key := evidence.ExecutionKey(d.UID, "erasure-"+uid, "job")
	about := &evidence.Run{Name: "erasure-" + uid[4:], Mode: evidence.ModeEnforce}
	intent := l.add(evidence.Predicate{Kind: evidence.Intent, Key: key, Time: when.Add(-10 * time.Minute), Level: evidence.LevelNone, Run: about,
		Requests: []evidence.Object{{Namespace: "shop", Name: uid[4:], UID: uid}}, Datastores: []evidence.Datastore{{Object: d.Object}}})
	p := evidence.Predicate{Kind: evidence.Result, Key: key, Time: when.Add(-5 * time.Minute), Level: level, Closes: intent, Run: about, Datastores: []evidence.Datastore{d}}
	if totalOf(d) > 0 {
		gone := when.AddDate(0, 0, 30)
		p.LogicallyDeletedTime, p.GoneBy = at(when.Add(-6*time.Minute)), &gone
		p.Datastores[0].GoneBy = &gone
	}
	return l.add(p)
}

// second repeats an answer after more was found, with a part in another namespace.
func (l *log) second(p evidence.Predicate, first *evidence.Reference) {
	child := p
	q := *p.Request
	q.Object, q.Channel = evidence.Object{Namespace: "crm", Name: "shop-for-er-2026-0030", UID: "uid-child"}, "Parent"
	child.Request, child.Key, child.Time, child.Results = &q, "uid-child/1", p.Time.Add(-time.Hour), nil
	d := datastoreOf("crm", "leads-db", "")
	d.Level, d.Outcome = evidence.LevelDeleted, "Deleted"
	d.Datasets = []evidence.Dataset{{Name: "leads", DataClass: "marketing", Method: evidence.MethodDelete, Outcome: "Deleted", Found: n(2), Deleted: n(2), Remaining: n(0), Counting: "Exact"}}
	child.Datastores, child.GoneBy = []evidence.Datastore{d}, nil
	of := l.add(child)
	p.Key, p.Time, p.Closes = "uid-er-2026-0030/2", p.Time.AddDate(0, 0, 10), first
	p.Results = append(p.Results, *of)
	p.Datastores[0].Datasets[0].Deleted, p.Datastores[0].Datasets[0].Found = n(25), n(25)
	l.add(p)
}

// many is a ledger with so many statements.
func many(t testing.TB, statements int) Input {
	from, until := berlin(2026, 1, 1), berlin(2027, 1, 1)
	l := &log{t: t}
	rng := rand.New(rand.NewPCG(3, 4))
	minutes := int(until.Sub(from).Minutes())
	for i := 0; len(l.entries) < statements; i++ {
		p := policyOf(fmt.Sprintf("team-%02d", i%12), fmt.Sprintf("policy-%03d", i%240), "0 3 * * *")
		d := datastoreOf(p.Namespace, fmt.Sprintf("db-%d", i%24), "P30D")
		ds := deleted("records", fmt.Sprintf("class-%d", i%9), rng.Int64N(900))
		level := evidence.LevelDeleted
		if *ds.Deleted == 0 {
			level = evidence.LevelNothingFound
		}
		if i%11 == 0 {
			ds.Remaining, ds.Blocked, ds.Outcome = n(5), n(5), "Blocked"
			ds.Constraints = []string{fmt.Sprintf("orders_%d_fkey", i%300)}
			level = evidence.LevelIncomplete
		}
		d.Datasets = []evidence.Dataset{ds}
		when := from.Add(time.Duration(i*3*minutes/statements) * time.Minute).Add(time.Hour)
		gone := when.AddDate(0, 0, 30)
		outcome := "Succeeded"
		if level == evidence.LevelIncomplete {
			outcome = "Incomplete"
		}
		l.run(run{policy: p, name: fmt.Sprintf("run-%05d", i), time: when, datastore: d, level: level, outcome: outcome, goneBy: &gone})
	}
	size := int64(len(l.entries))
	return Input{From: from, Until: until, Zone: zone, Now: until.AddDate(0, 1, 0), Version: "v1.4.0", Source: "an export", Entries: l.entries,
		Verification: Verification{Statements: size, Size: &size}}
}
