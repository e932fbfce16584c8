// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// maxListed is how many open requests of a namespace a person is shown.
const maxListed = 20

// startsWithin is how late a run may begin before a person is told.
const startsWithin = 10 * time.Minute

func statusCommand() *cobra.Command {
	t := &target{}
	var all, everywhere, utc bool
	var format output
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how policies, datastores, requests and holds stand",
		Long: "Show the policies of a namespace with their latest and next run and whether their promise is kept, its datastores, the erasure " +
			"requests that have to be answered with the days that are left, and the legal holds. With -A, of all namespaces.\n\n" +
			"✓ as it should be   ● at work   ! look at it   ✗ something is wrong   · it has ended",
		Example: "  kubectl retention status\n  kubectl retention status -A -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			term := terminalOf(cmd, utc)
			namespace := c.namespace
			if everywhere {
				namespace = ""
			}
			o, err := c.overview(cmd.Context(), namespace, all || format == outputJSON || format == outputYAML, term.now)
			if err != nil {
				return err
			}
			if format == outputJSON || format == outputYAML {
				return format.object(term.out, o)
			}
			term.overview(o, format == outputWide, all)
			return nil
		},
	}
	t.flags(cmd)
	zoneFlag(cmd, &utc)
	format.flag(cmd, outputWide, outputJSON, outputYAML)
	cmd.Flags().BoolVarP(&everywhere, "all-namespaces", "A", false, "of all namespaces")
	cmd.Flags().BoolVar(&all, "all", false, "also requests that have ended, and holds that are released")
	return cmd
}

// overview prints the tree.
func (t *terminal) overview(o *overview, wide, all bool) {
	var roots []*node
	for _, ns := range o.Namespaces {
		root := &node{text: []cell{{ns.Name, bold}}}
		t.policies(root, ns, wide)
		t.datastores(root, ns, wide)
		t.requests(root, ns, wide, all)
		t.holds(root, ns, wide)
		if len(root.nodes) == 0 {
			root.detail(dim, "no policies, datastores, requests or holds")
		}
		roots = append(roots, root)
	}
	t.tree(roots...)
	if len(roots) == 0 {
		fmt.Fprintln(t.out, "No namespace has policies, datastores, requests or holds.")
	}
	for _, missing := range o.Missing {
		fmt.Fprintln(t.out, t.paint(yellow, "Not shown: "+missing))
	}
}

// group adds a branch if there is anything below it.
func group(root *node, title string, nodes []*node) {
	if len(nodes) == 0 {
		return
	}
	g := root.add(&node{text: []cell{{title, plain}}, nodes: nodes})
	g.align()
}

func (t *terminal) policies(root *node, ns *namespaceOverview, wide bool) {
	var nodes []*node
	for i := range ns.Policies {
		p := &ns.Policies[i]
		mode := p.Mode
		if p.Suspended {
			mode += ", suspended"
		}
		n := &node{mark: p.Health, text: []cell{{p.Name, bold}, {mode, plain}, compliance(p)}}
		if p.Compliant != nil && !p.Compliant.is(metav1.ConditionTrue) && p.LastRun != nil {
			n.detail(yellow, "%s", p.Compliant.Message)
		}
		if p.Ready.is(metav1.ConditionFalse) && len(p.Approvable) == 0 && (p.LastRun == nil || !strings.Contains(p.Ready.Message, p.LastRun.Message)) {
			n.detail(red, "%s: %s", p.Ready.Reason, p.Ready.Message)
		}
		if r := p.ActiveRun; r != nil {
			n.detail(blue, "running since %s (%s): %d of %d datastores finished", t.time(r.StartTime), t.ago(r.StartTime), r.Finished, r.Total)
		}
		t.lastRun(n, p, wide)
		switch {
		case p.Next != nil && p.ActiveRun == nil && t.now.Sub(*p.Next) > startsWithin:
			n.detail(yellow, "a run was due %s (%s), and has not begun; does the operator run?", t.time(*p.Next), t.ago(*p.Next))
		case p.Next != nil:
			n.detail(dim, "next run %s (%s)", t.time(*p.Next), t.ago(*p.Next))
		case p.Suspended:
			n.detail(dim, "no run while spec.suspend is true")
		}
		if wide {
			n.detail(dim, "schedule %s (%s) on %s", p.Schedule, p.TimeZone, orNone(p.Datastores))
		}
		nodes = append(nodes, n)
	}
	group(root, "Policies", nodes)
}

func (t *terminal) lastRun(n *node, p *policyOverview, wide bool) {
	r := p.LastRun
	if r == nil {
		n.detail(dim, "no run has ended yet")
		return
	}
	c := plain
	switch v1alpha1.Outcome(r.Outcome) {
	case v1alpha1.OutcomeSucceeded, v1alpha1.OutcomeSimulated:
	case v1alpha1.OutcomeAwaitingApproval:
		c = yellow
	default:
		c = red
	}
	n.detail(c, "last run %s (%s): %s, %s", t.time(r.Slot), t.ago(r.Slot), r.Outcome, r.Message)
	if len(p.Approvable) > 0 {
		n.detail(yellow, "to approve it: kubectl retention approve-plan %s", p.Name)
	}
	if wide {
		t.evidence(n, r.Evidence)
	}
}

func (*terminal) evidence(n *node, e *v1alpha1.EvidenceReference) {
	if e == nil || e.Index == nil {
		n.detail(dim, "no signed evidence")
		return
	}
	n.detail(dim, "evidence %d: %s, %s", *e.Index, e.Level, e.Digest)
}

// compliance is the promise in a word or two.
func compliance(p *policyOverview) cell {
	switch {
	case p.Compliant.is(metav1.ConditionTrue):
		return cell{"compliant", green}
	case p.Compliant.is(metav1.ConditionFalse):
		return cell{"NOT COMPLIANT", red}
	case p.LastRun == nil:
		return cell{"compliance unknown", dim}
	}
	return cell{"compliance unknown", yellow}
}

func (t *terminal) datastores(root *node, ns *namespaceOverview, wide bool) {
	var nodes []*node
	for i := range ns.Datastores {
		d := &ns.Datastores[i]
		reach := cell{"not probed yet", yellow}
		switch {
		case d.Reachable.is(metav1.ConditionTrue):
			reach = cell{"reachable", green}
		case d.Reachable.is(metav1.ConditionFalse):
			reach = cell{"NOT REACHABLE", red}
		}
		size := "records unknown"
		if d.Records != nil {
			size = "about " + records(*d.Records)
		}
		n := &node{mark: d.Health, text: []cell{{d.Name, bold}, reach, {size, plain}}}
		if d.Ready.is(metav1.ConditionFalse) {
			n.detail(red, "%s: %s", d.Ready.Reason, d.Ready.Message)
		}
		for _, doubt := range d.Doubts {
			n.detail(yellow, "%s: %s", doubt.Reason, doubt.Message)
		}
		if d.ActiveRun != "" {
			who := "policy " + d.RunOf
			if d.RunOf == "Erasure" {
				who = "erasure requests"
			}
			n.detail(blue, "taken by run %s of %s, %s", d.ActiveRun, who, t.ago(*d.RunTime))
		}
		if d.Pending > 0 {
			n.detail(blue, "%d erasure requests wait for it", d.Pending)
		}
		if wide {
			n.detail(dim, "%s, %d datasets, %d holds%s", strings.TrimSpace(d.Engine+" "+d.Version), d.Datasets, d.Holds, t.probed(d))
		}
		nodes = append(nodes, n)
	}
	group(root, "Datastores", nodes)
}

func (t *terminal) probed(d *datastoreOverview) string {
	if d.ProbeTime == nil {
		return ""
	}
	return ", probed " + t.ago(*d.ProbeTime)
}

func (t *terminal) requests(root *node, ns *namespaceOverview, wide, all bool) {
	var nodes []*node
	for i := range ns.Requests {
		r := &ns.Requests[i]
		if len(nodes) == maxListed && !all {
			break
		}
		state := r.State
		if r.Outcome != "" && r.Outcome != r.State {
			state += ": " + r.Outcome
		}
		n := &node{mark: r.Health, text: []cell{{r.Name, bold}, {state, plain}, t.timeLimit(r)}}
		if r.Health != healthOver && r.Ready.is(metav1.ConditionFalse) && r.Ready.Message != "" {
			n.detail(plain, "%s", r.Ready.Message)
		}
		if wide {
			n.detail(dim, "%s, received %s", r.Regulation, t.optional(r.Received))
			if r.Health == healthOver {
				t.evidence(n, r.Evidence)
			}
		}
		nodes = append(nodes, n)
	}
	title := "Erasure requests"
	if more := len(ns.Requests) - len(nodes); more > 0 {
		title += fmt.Sprintf(", the first %d of %d open ones", len(nodes), len(ns.Requests))
	}
	if ended := ns.Answered + ns.Denied; ended > 0 {
		title += fmt.Sprintf(" (%d answered, %d denied)", ns.Answered, ns.Denied)
		if len(nodes) == 0 {
			root.add(&node{text: []cell{{title, plain}}})
			return
		}
	}
	group(root, title, nodes)
}

// timeLimit says how many days are left, or when the request was answered.
func (t *terminal) timeLimit(r *requestOverview) cell {
	switch {
	case r.Answered != nil:
		return cell{"answered " + t.time(*r.Answered), dim}
	case r.Health == healthOver:
		return cell{"", dim}
	case r.Due == nil:
		return cell{"no time limit yet", dim}
	case r.Overdue:
		return cell{fmt.Sprintf("OVERDUE since %s (%s)", t.time(*r.Due), t.ago(*r.Due)), red}
	}
	c := plain
	if r.Health == healthWarn {
		c = yellow
	}
	return cell{fmt.Sprintf("%s left (due %s)", roughly(r.Due.Sub(t.now)), t.time(*r.Due)), c}
}

func (t *terminal) holds(root *node, ns *namespaceOverview, wide bool) {
	var nodes []*node
	for i := range ns.Holds {
		h := &ns.Holds[i]
		state := cell{"not enforced yet", yellow}
		switch {
		case h.Released:
			state = cell{"released", dim}
		case h.Enforced.is(metav1.ConditionTrue):
			state = cell{"enforced since " + t.optional(h.Since), green}
		case h.Health == healthBad:
			state = cell{"NOT ENFORCED", red}
		}
		kept := "on " + h.Scope
		if h.Records != nil {
			kept += ", keeps " + records(*h.Records)
		}
		n := &node{mark: h.Health, text: []cell{{h.Name, bold}, state, {kept, plain}}}
		if h.Enforced != nil && !h.Enforced.is(metav1.ConditionTrue) && !h.Released {
			n.detail(yellow, "%s: %s", h.Enforced.Reason, h.Enforced.Message)
		}
		if wide {
			who := h.Authority
			if h.Reference != "" {
				who += ", " + h.Reference
			}
			n.detail(dim, "ordered by %s", who)
			t.evidence(n, h.Evidence)
		}
		nodes = append(nodes, n)
	}
	title := "Legal holds"
	if ns.Released > 0 {
		title += fmt.Sprintf(" (%d released)", ns.Released)
	}
	group(root, title, nodes)
}

// optional is a time that may be absent.
func (t *terminal) optional(at *time.Time) string {
	if at == nil {
		return "an unknown time"
	}
	return t.time(*at)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "no datastore"
	}
	return list(names)
}
