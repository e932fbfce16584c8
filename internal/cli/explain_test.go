// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/schedule"
)

// ask answers a question about the shop.
func (c *cluster) ask(t *testing.T, store, dataset, age string, starts ...string) *explanation {
	t.Helper()
	q, err := c.question(t.Context(), store, dataset)
	must(t, err)
	q.at = shopNow
	zone, err := schedule.LoadLocation(q.store.Spec.GetTimeZone())
	must(t, err)
	q.record, err = parseRecord(age, starts, zone)
	must(t, err)
	return q.explain()
}

func TestExplain(t *testing.T) {
	_, ns := shop(t)
	c, err := (&target{}).connect()
	must(t, err)
	for name, tc := range map[string]struct {
		store, dataset, age string
		starts              []string
		verdict, summary    string
	}{
		"due":        {"crm", "device_events", "P100D", nil, verdictDeleted, "is deleted by rule telemetry of policy telemetry, with its next run at 2026-11-21T02:00:00Z"},
		"exactly":    {"crm", "device_events", "P90D", nil, verdictDeleted, "is deleted by rule telemetry"},
		"young":      {"crm", "device_events", "P10D", nil, verdictStays, "its period P90D (rule telemetry) is not over; it is due from 2027-02-08T09:00:00Z"},
		"obligation": {"crm", "invoices", "", []string{"2022-05-01"}, verdictStays, "it must be kept for P8Y (rule invoices of policy tax, § 147 AO); it is due from 2030-05-01T22:00:00Z by rule old-invoices of policy billing, but that policy only simulates"},
		"simulated":  {"crm", "invoices", "", []string{"2016-05-01"}, verdictStays, "it is due by rule invoices of policy tax, but that policy is suspended"},
		"held":       {"crm", "access_log", "P40D", nil, verdictStays, "legal hold audit-2026 keeps every record of access_log until it is released"},
		"no-event":   {"crm", "accounts", "", []string{"contract_ended_at=none"}, verdictStays, "contract_ended_at is empty: the event has not happened"},
		"event":      {"crm", "accounts", "", []string{"contract_ended_at=2026-09-01"}, verdictDeleted, "is deleted by rule closed of policy closed"},
		"no-rule":    {"crm", "notes", "P9Y", nil, verdictStays, "no rule says when records of notes go"},
		"sentinel":   {"crm", "device_events", "", []string{"1970-01-01T00:00:00Z"}, verdictStays, "occurred_at is a placeholder and no time"},
		"undated":    {"crm", "device_events", "", []string{"none"}, verdictStays, "occurred_at is empty: such a record is counted as undated"},
		"no-policy":  {"archive", "letters", "P9Y", nil, verdictStays, "no policy selects the Datastore"},
		"no-record":  {"crm", "device_events", "", nil, "", "This is what the rules make of device_events"},
	} {
		t.Run(name, func(t *testing.T) {
			e := c.ask(t, tc.store, tc.dataset, tc.age, tc.starts...)
			if e.Verdict != tc.verdict || !strings.Contains(e.Summary, tc.summary) {
				t.Errorf("verdict %s: %s", e.Verdict, e.Summary)
			}
			var out bytes.Buffer
			plainTerminal(t, &out).explain(e)
			golden(t, "explain-"+name, strings.ReplaceAll(out.String(), ns, "shop"))
		})
	}
}

func TestExplainCommand(t *testing.T) {
	_, _ = shop(t)
	for name, tc := range map[string]struct{ args, want string }{
		"no dataset":   {"explain crm mail", `has no dataset "mail" in its data map; it has accounts, device_events, invoices, access_log, notes`},
		"no datastore": {"explain crn invoices", "not found"},
		"no argument":  {"explain crm", "explain DATASTORE DATASET"},
		"both":         {"explain crm invoices --age P1D --starting-point none", "not both"},
		"bad period":   {"explain crm invoices --age 1Y", "P90D"},
		"bad time":     {"explain crm invoices --starting-point yesterday", "write 2026-11-20"},
		"bad moment":   {"explain crm invoices --at soon", "--at:"},
		"twice":        {"explain crm invoices --starting-point none --starting-point none", "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			if out, code, err := call(t, "", strings.Fields(tc.args)...); err == nil || code != 1 || !strings.Contains(err.Error(), tc.want) || out != "" {
				t.Errorf("got %q, %d, %v", out, code, err)
			}
		})
	}
	out, _, err := call(t, "", "explain", "crm", "device_events", "--age", "P1D", "--at", "2040-01-01", "-o", "json")
	must(t, err)
	var e explanation
	must(t, json.Unmarshal([]byte(out), &e))
	if e.Verdict != verdictStays || e.Time.Year() != 2040 && e.Time.Year() != 2039 || len(e.Policies) != 4 {
		t.Errorf("got %s", out)
	}
}

// TestDueTimes: what explain says of when a record is due is what the planner finds then, and not a second before.
func TestDueTimes(t *testing.T) {
	_, _ = shop(t)
	c, err := (&target{}).connect()
	must(t, err)
	q, err := c.question(t.Context(), "crm", "device_events")
	must(t, err)
	policy := policyNamed(t, q, "telemetry")
	random := rand.New(rand.NewPCG(1, 2))
	periods := []v1alpha1.Period{"P90D", "P1M", "P11M", "P1Y", "PT36H", "P1M1D", "P2W"}
	zones := []v1alpha1.TimeZone{"UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu", "Pacific/Apia"}
	for range 60 {
		policy.Spec.Rules[0].DeleteAfter = periods[random.IntN(len(periods))]
		policy.Spec.TimeZone = zones[random.IntN(len(zones))]
		start := time.Unix(random.Int64N(1_800_000_000), 0).Add(48 * time.Hour).UTC()
		q.at, q.record = shopNow, record{starts: map[string]time.Time{"": start}}
		zone, err := schedule.LoadLocation(string(policy.Spec.TimeZone))
		must(t, err)
		step := onlyStep(t, q, policy, shopNow)
		due := *q.step("telemetry", step, zone).DueTime
		if at := onlyStep(t, q, policy, due); !at.Due(start, nil) {
			t.Errorf("%s in %s from %s: not due at %s", policy.Spec.Rules[0].DeleteAfter, zone, start, due)
		}
		if before := onlyStep(t, q, policy, due.Add(-time.Second)); before.Due(start, nil) {
			t.Errorf("%s in %s from %s: due before %s", policy.Spec.Rules[0].DeleteAfter, zone, start, due)
		}
		p := q.policy(policy)
		if run := p.Steps[0].RunTime; run == nil || run.Before(due) || run.Before(shopNow) {
			t.Errorf("due at %s, and the run is %v", due, run)
		}
	}
}

func policyNamed(t *testing.T, q *question, name string) *v1alpha1.RetentionPolicy {
	t.Helper()
	for i := range q.policies {
		if q.policies[i].Name == name {
			return &q.policies[i]
		}
	}
	t.Fatal("no policy " + name)
	return nil
}

func onlyStep(t *testing.T, q *question, p *v1alpha1.RetentionPolicy, slot time.Time) *plan.Step {
	t.Helper()
	compiled := q.compile(p, slot)
	for i := range compiled.Steps {
		if compiled.Steps[i].Dataset == "device_events" {
			return &compiled.Steps[i]
		}
	}
	t.Fatal("no step")
	return nil
}
