// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/schedule"
)

func explainCommand() *cobra.Command {
	t := &target{}
	var age, at string
	var starts []string
	var utc bool
	var format output
	cmd := &cobra.Command{
		Use:   "explain DATASTORE DATASET [--age PERIOD | --starting-point TIME]",
		Short: "Say why a record of an age is, or is not, deleted",
		Long: "Say why a record is, or is not, deleted now: by which rule, from which cutoff, what keeps it, and from when it is due. The " +
			"plan is compiled from the policies and holds of the namespace as the operator compiles it; the database is not asked, so that it " +
			"cannot be told whether a hold on a person is about this very record.\n\n" +
			"A record is named by its age, or by the time that its periods run from. Where rules run from different fields, name them: " +
			"--starting-point issued_at=2019-05-01 --starting-point accounts.contract_ended_at=none. Times without a zone are read in the " +
			"Datastore's, and a date is the end of that day, as a run reads them.",
		Example: "  kubectl retention explain shop invoices --age P400D\n" +
			"  kubectl retention explain shop invoices --starting-point 2019-05-01\n" +
			"  kubectl retention explain shop invoices --starting-point 2019-05-01 --at 2030-01-01",
		Args:              arguments(2, 2),
		ValidArgsFunction: completeDatasets,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			term := terminalOf(cmd, utc)
			q, err := c.question(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if q.at = term.now.Truncate(time.Second); at != "" {
				if q.at, err = parseTime(at, term.zone); err != nil {
					return fmt.Errorf("--at: %w", err)
				}
			}
			zone, err := schedule.LoadLocation(q.store.Spec.GetTimeZone())
			if err != nil {
				return err
			}
			if q.record, err = parseRecord(age, starts, zone); err != nil {
				return err
			}
			e := q.explain()
			if format != outputText {
				return format.object(term.out, e)
			}
			term.explain(e)
			return nil
		},
	}
	t.flags(cmd)
	zoneFlag(cmd, &utc)
	format.flag(cmd, outputJSON, outputYAML)
	f := cmd.Flags()
	f.StringVar(&age, "age", "", "age of the record, a period such as P400D or P7Y")
	f.StringArrayVar(&starts, "starting-point", nil, "time that the record's periods run from, or FIELD=TIME; none for an empty field; may be repeated")
	f.StringVar(&at, "at", "", "moment that the question is about (default: now)")
	complete(cmd, "age", completeValues())
	complete(cmd, "starting-point", completeValues())
	complete(cmd, "at", completeValues())
	return cmd
}

// question reads all that an answer depends on.
func (c *cluster) question(ctx context.Context, store, dataset string) (*question, error) {
	q := &question{store: &v1alpha1.Datastore{}}
	if err := c.get(ctx, store, q.store); err != nil {
		return nil, err
	}
	if q.dataset = datasetOf(q.store, dataset); q.dataset == nil {
		var names []string
		for i := range q.store.Spec.Datasets {
			names = append(names, string(q.store.Spec.Datasets[i].Name))
		}
		return nil, fmt.Errorf("datastore %s/%s has no dataset %q in its data map; it has %s", c.namespace, store, dataset, list(names))
	}
	policies, holds := &v1alpha1.RetentionPolicyList{}, &v1alpha1.LegalHoldList{}
	if err := c.List(ctx, policies, client.InNamespace(c.namespace)); err != nil {
		return nil, c.explained(err, "listing policies")
	}
	if err := c.List(ctx, holds, client.InNamespace(c.namespace)); err != nil {
		return nil, c.explained(err, "listing legal holds, without which it cannot be told what is kept")
	}
	q.policies, q.holds = policies.Items, holds.Items
	return q, nil
}

// explain prints an explanation.
func (t *terminal) explain(e *explanation) {
	e.conclude(t.time)
	switch {
	case e.Record != "":
		c := green
		if e.Verdict != verdictStays {
			c = red
		}
		fmt.Fprintf(t.out, "A record of %s in datastore %s %s\n%s\n", e.Dataset, e.Datastore, e.Record, t.paint(c, e.Summary+"."))
	default:
		fmt.Fprintln(t.out, e.Summary+".")
	}
	for _, w := range e.Warnings {
		fmt.Fprintln(t.out, t.paint(yellow, "! "+w+"."))
	}
	var silent []string
	for i := range e.Policies {
		p := &e.Policies[i]
		if p.silent() {
			silent = append(silent, p.Name)
			continue
		}
		fmt.Fprintln(t.out)
		t.tree(t.policyNode(p))
	}
	if len(silent) > 0 {
		fmt.Fprintf(t.out, "\nNo rule for it has: %s\n", list(silent))
	}
	if len(e.Holds) > 0 {
		root := &node{text: []cell{{"Legal holds", bold}}}
		for _, h := range e.Holds {
			text := "keeps every record"
			if !h.Whole {
				text = "keeps " + h.Scope + ", with all that refers to them; whether this record is among them only a run can tell"
			}
			if !h.Enforced {
				text += " (not enforced yet)"
			}
			root.add(&node{mark: healthWarn, text: []cell{{h.Name, bold}, {text, plain}}})
		}
		fmt.Fprintln(t.out)
		t.tree(root)
	}
	onErasure := e.OnErasure
	if onErasure == "" {
		onErasure = "nothing: the data map says no onErasure for it"
	}
	fmt.Fprintf(t.out, "\nWhen a person asks for erasure: %s\n", onErasure)
}

// silent says whether the policy has nothing to say of the dataset.
func (p *policyExplanation) silent() bool {
	return len(p.Steps) == 0 && len(p.Notes) == 0 && !slices.ContainsFunc(p.Exclusions, func(x plan.Exclusion) bool { return x.Reason != plan.NoRule })
}

func (t *terminal) policyNode(p *policyExplanation) *node {
	state := p.Mode
	if p.Suspended {
		state += ", suspended"
	}
	root := &node{text: []cell{{"Policy " + p.Name, bold}, {state, plain}}}
	if p.NextRun != nil {
		root.text = append(root.text, cell{"next run " + t.time(*p.NextRun), dim})
	}
	for i := range p.Steps {
		s := &p.Steps[i]
		n := root.add(&node{text: []cell{{fmt.Sprintf("rule %s: %s after %s", s.Rule, s.Action, s.Period.Period), plain}}})
		n.detail(dim, "%s", s.Reason)
		t.period(n, &s.Period)
		for j := range s.Obligations {
			o := &s.Obligations[j]
			child := n.add(&node{text: []cell{{fmt.Sprintf("rule %s of policy %s: keep at least %s", o.Rule, o.Policy, o.Period), plain}}})
			t.period(child, o)
		}
		t.due(n, p, s)
	}
	for _, x := range p.Exclusions {
		n := &node{mark: healthOver, text: []cell{{"not applied", plain}, {string(x.Reason), plain}}}
		if x.Rule != "" {
			n.text[0].text = "rule " + x.Rule + ": not applied"
		}
		if x.Problem() {
			n.mark, n.text[1].color = healthBad, red
		}
		n.detail(plain, "%s", x.Message)
		root.add(n)
	}
	for _, note := range p.Notes {
		n := &node{mark: healthOver, text: []cell{{"note", plain}, {string(note.Code), plain}}}
		if note.Problem() {
			n.mark = healthWarn
		}
		n.detail(plain, "%s", note.Message)
		root.add(n)
	}
	return root
}

// period tells of a period, its cutoff, and what it means for the record.
func (t *terminal) period(n *node, e *periodExplanation) {
	if e.LegalBasis != "" {
		n.detail(dim, "legal basis: %s", e.LegalBasis)
	}
	n.detail(plain, "from %s; over for records up to %s (the cutoff)", e.From, t.time(e.Cutoff))
	switch {
	case e.Over == nil:
	case e.Empty != "":
		n.detail(green, "%s", e.Empty)
	case *e.Over:
		n.detail(plain, "the record started %s, so the period is over", t.time(*e.Start))
	case e.OverTime != nil:
		n.detail(green, "the record started %s, so the period is not over before %s (%s)", t.time(*e.Start), t.time(*e.OverTime), t.ago(*e.OverTime))
	}
}

// due tells when the record goes.
func (t *terminal) due(n *node, p *policyExplanation, s *stepExplanation) {
	verb := map[string]string{"Delete": "deletes", "Anonymize": "anonymizes"}[s.Action]
	switch {
	case s.Due == nil || s.Never != "":
	case !p.Acts && (p.Suspended || p.Stalled):
		n.detail(yellow, "the policy %s, and does nothing", idleness(p))
	case !p.Acts && s.RunTime != nil:
		n.detail(yellow, "the run of %s counts it, and changes nothing", t.time(*s.RunTime))
	case s.RunTime != nil:
		n.detail(red, "the run of %s %s it", t.time(*s.RunTime), verb)
	}
}
