// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
)

// tables are the files of the CSV form.
func (r *Report) tables() []table {
	return slices.Concat([]table{r.about()}, r.policyTables(), r.requestTables(), r.otherTables())
}

// about has the rest of the report as names and values.
func (r *Report) about() table {
	v, s := &r.Verification, &r.Summary
	t := table{name: "about.csv", rows: [][]string{{"name", "value"}}}
	add := func(name string, value any) {
		t.rows = append(t.rows, []string{name, cells(value)[0]})
	}
	add("schema", r.Schema)
	add("made", r.Made.Time)
	add("made_by", r.Made.By)
	add("version", r.Made.Version)
	add("source", r.Made.Source)
	add("live_objects_read", r.Made.Live)
	add("namespace", r.Made.Namespace)
	add("from", r.Period.From)
	add("until", r.Period.Until)
	add("zone", r.Period.Zone)
	add("signatures_checked", v.Signatures)
	add("inclusion_checked", v.Inclusion)
	add("ledger", v.Origin)
	if v.Size != nil {
		add("ledger_size", *v.Size)
	}
	add("ledger_root", v.Root)
	add("deleted", s.Deleted)
	add("deleted_at_least", s.Deleted != nil && s.Deleted.AtLeast)
	add("anonymized", s.Anonymized)
	add("anonymized_at_least", s.Anonymized != nil && s.Anonymized.AtLeast)
	for _, note := range r.Notes {
		add("note", note)
	}
	return t
}

func (r *Report) policyTables() []table {
	strips := table{name: "compliance.csv", rows: [][]string{header("namespace policy policy_uid from until state runs")}}
	rules := table{name: "rules.csv", rows: [][]string{header(
		"namespace policy policy_uid rule covers delete_after action kept_for legal_basis")}}
	for i := range r.Policies {
		p := &r.Policies[i]
		for _, c := range p.Strip {
			strips.rows = append(strips.rows, cells(p.Namespace, p.Name, p.UID, c.From, c.Until, c.State, c.Runs))
		}
		for _, u := range p.Rules {
			rules.rows = append(rules.rows, cells(p.Namespace, p.Name, p.UID, u.Name, u.Covers, u.DeleteAfter, u.Action, u.RetainAtLeast, u.LegalBasis))
		}
	}
	deletions := table{name: "deletions.csv", rows: [][]string{header("from until data_class deleted#")}}
	for _, s := range r.Deletions.Stretches {
		for i, n := range s.Deleted {
			if n != nil {
				deletions.rows = append(deletions.rows, cells(s.From, s.Until, r.Deletions.Classes[i], n))
			}
		}
	}
	return []table{
		tableOf("policies.csv", "namespace policy policy_uid schedule zone mode runs compliant not_compliant unknown deleted# anonymized# remaining# latest_state "+
			"compliant_now gone evidence@", r.Policies,
			func(p *Policy) []string {
				now := ""
				if p.Now != nil {
					now = p.Now.Compliant
				}
				return cells(p.Namespace, p.Name, p.UID, p.Schedule, p.TimeZone, p.Mode, p.Runs, p.Compliant, p.NotCompliant, p.Unknown,
					p.Deleted, p.Anonymized, p.Remaining, p.Latest, now, p.Gone, p.Evidence)
			}),
		tableOf("runs.csv", "namespace policy policy_uid run trigger mode slot completed outcome message level state why deleted# anonymized# remaining# evidence@", r.Runs,
			func(u *Run) []string {
				return cells(u.Namespace, u.Policy, u.PolicyUID, u.Name, u.Trigger, u.Mode, u.Slot, u.Completion, u.Outcome, u.Message, u.Level,
					u.State, u.Why, u.Deleted, u.Anonymized, u.Remaining, u.Evidence)
			}),
		strips, rules, deletions,
	}
}

func (r *Report) requestTables() []table {
	return []table{
		tableOf("metrics.csv", "regulation carried_over received answered withdrawn open complied_in_whole complied_in_part nothing_found all_kept denied not_done "+
			"in_time late extended overdue days_answers days_sum days_median days_mean days_longest", r.Metrics,
			func(m *RequestMetrics) []string {
				return cells(m.Regulation, m.CarriedOver, m.Received, m.Answered, m.Withdrawn, m.Open, m.CompliedInWhole, m.CompliedInPart, m.NothingFound,
					m.AllKept, m.Denied, m.NotDone, m.InTime, m.Late, m.Extended, m.Overdue,
					m.Days.Answers, m.Days.SumDays, m.Days.Median, m.Days.Mean, m.Days.Longest)
			}),
		tableOf("requests.csv", "namespace request request_uid part regulation ground received due extended_from extension_basis answered state days_taken "+
			"days_left in_time answer outcome level erased# kept# bases recipients gone_by backups_expired@ statements evidence@", r.Requests,
			func(q *Request) []string {
				return cells(q.Namespace, q.Name, q.UID, q.Part, q.Regulation, q.Ground, q.Received, q.Due, q.ExtendedFrom, q.ExtensionBasis,
					q.Answered, q.State, q.DaysTaken, q.DaysLeft, q.InTime, q.Answer, q.Outcome, q.Level, q.Erased, q.Kept, q.Bases, q.Recipients,
					q.GoneBy, q.BackupsExpired, q.Statements, q.Evidence)
			}),
	}
}

func (r *Report) otherTables() []table {
	return []table{
		tableOf("holds.csv", "namespace hold hold_uid state scope reason authority reference enforced released release records# respected enforced_evidence@ "+
			"released_evidence@", r.Holds,
			func(h *Hold) []string {
				return cells(h.Namespace, h.Name, h.UID, h.State, h.Scope, h.Reason, h.Authority, h.Reference, h.Enforced, h.Released, h.Release,
					h.Records, h.Respected, h.EnforcedEvidence, h.ReleasedEvidence)
			}),
		tableOf("classes.csv", "data_class namespace datastore datasets deleted# anonymized# on_request# retained# legal_bases held# remaining#", r.Classes,
			func(c *Class) []string {
				return cells(c.DataClass, c.Namespace, c.Datastore, c.Datasets, c.Deleted, c.Anonymized, c.OnRequest, c.Retained, c.Bases, c.Held, c.Remaining)
			}),
		tableOf("exceptions.csv", "kind namespace datastore what basis message records# first last until statements evidence@", r.Exceptions,
			func(e *Exception) []string {
				return cells(e.Kind, e.Namespace, e.Datastore, e.What, e.Basis, e.Message, e.Records, e.First, e.Last, e.Until, e.Statements, e.Evidence)
			}),
		tableOf("backups.csv", "namespace datastore of deleted# anonymized# deleted_on gone_by state evidence@ expired@", r.Backups,
			func(b *Backup) []string {
				return cells(b.Namespace, b.Datastore, b.Of, b.Deleted, b.Anonymized, b.DeletedOn, b.GoneBy, b.State, b.Evidence, b.Expired)
			}),
		tableOf("backup_totals.csv", "namespace datastore retention deletions expired pending overdue undeclared last_gone_by", r.BackupTotals,
			func(b *BackupTotal) []string {
				return cells(b.Namespace, b.Datastore, b.Retention, b.Deletions, b.Expired, b.Pending, b.Overdue, b.Undeclared, b.LastGoneBy)
			}),
		tableOf("proofs.csv", "index digest kind level time about pruned", r.Proofs,
			func(p *Proof) []string {
				return cells(p.Index, p.Digest, p.Kind, p.Level, p.Time, p.About, p.Pruned)
			}),
		tableOf("keys.csv", "use name key created", r.Verification.Keys,
			func(k *Key) []string { return cells(k.Use, k.Name, k.ID, k.Created) }),
	}
}
