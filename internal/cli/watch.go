// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
)

func watchCommand() *cobra.Command {
	t := &target{}
	var timeout time.Duration
	var utc bool
	cmd := &cobra.Command{
		Use:   "watch [POLICY | DATASTORE | ERASUREREQUEST]",
		Short: "Watch runs: how many records are due, done and left, as the purge Pods log it",
		Long: "Watch what is under way until it has ended: the run of a policy, whatever works on a datastore, an erasure request, or all runs of " +
			"the namespace. Write policy/NAME, datastore/NAME or request/NAME where a name is not clear. On a terminal there is a bar for " +
			"each dataset, otherwise a line for each step. Ctrl-C stops the watching, and nothing else.",
		Example:           "  kubectl retention watch telemetry\n  kubectl retention watch request/case-2026-117 --timeout 10m",
		Args:              arguments(0, 1),
		ValidArgsFunction: completeNames(policies, datastores, requests),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			look := c.allRuns()
			if len(args) > 0 {
				if look, err = c.followable(cmd.Context(), args[0]); err != nil {
					return err
				}
			}
			return c.followed(cmd, terminalOf(cmd, utc), timeout, look)
		},
	}
	t.flags(cmd)
	zoneFlag(cmd, &utc)
	timeoutFlag(cmd, &timeout)
	return cmd
}

func timeoutFlag(cmd *cobra.Command, timeout *time.Duration) {
	cmd.Flags().DurationVar(timeout, "timeout", 0, "stop waiting after this long, such as 10m (default: never)")
	complete(cmd, "timeout", completeValues())
}

// followed follows, and makes an exit code of how it ended.
func (c *cluster) followed(cmd *cobra.Command, t *terminal, timeout time.Duration, look followed) error {
	code, err := c.follow(cmd.Context(), t, timeout, look)
	if err == nil && code != 0 {
		return &ExitError{Code: code}
	}
	return err
}

// followable finds what a name means.
func (c *cluster) followable(ctx context.Context, name string) (followed, error) {
	obj, err := c.find(ctx, name, &v1alpha1.RetentionPolicy{}, &v1alpha1.Datastore{}, &v1alpha1.ErasureRequest{})
	if err != nil {
		return nil, err
	}
	switch o := obj.(type) {
	case *v1alpha1.RetentionPolicy:
		if o.Status.ActiveRun == nil {
			return c.policyAtRest(o), nil
		}
		return c.policyRun(o.Name, o.Status.ActiveRun.Name), nil
	case *v1alpha1.Datastore:
		return c.datastoreRun(o.Name), nil
	}
	return c.request(obj.GetName()), nil
}

// policyAtRest tells when the last and the next run are.
func (*cluster) policyAtRest(p *v1alpha1.RetentionPolicy) followed {
	return func(context.Context) (*situation, error) {
		lines := []string{fmt.Sprintf("Policy %s has no run under way.", p.Name)}
		if last := p.Status.LastRun; last != nil {
			lines = append(lines, fmt.Sprintf("The last one, %s, ended %s: %s", last.Name, last.Outcome, last.Message))
		}
		if next := p.Status.NextScheduleTime; next != nil {
			lines = append(lines, "The next one is due "+next.UTC().Format(time.RFC3339))
		}
		return &situation{lines: lines, over: true}, nil
	}
}

// policyRun follows one run of a policy.
func (c *cluster) policyRun(policy, run string) followed {
	pods := []labels.Set{{purgejob.LabelComponent: purgejob.ComponentPurge, purgejob.LabelRun: purgejob.LabelValue(run)}}
	return func(ctx context.Context) (*situation, error) {
		p := &v1alpha1.RetentionPolicy{}
		if err := c.get(ctx, policy, p); err != nil {
			return nil, err
		}
		if active := p.Status.ActiveRun; active != nil && active.Name == run {
			return &situation{lines: runLines(active), pods: pods}, nil
		}
		lines, code := outcomeOf(p, run)
		return &situation{lines: lines, pods: pods, over: true, code: code}, nil
	}
}

// runLines say how far a run is.
func runLines(r *v1alpha1.Run) []string {
	lines := []string{fmt.Sprintf("Run %s (%s)", r.Name, r.Mode)}
	for i := range r.Datastores {
		d := &r.Datastores[i]
		line := fmt.Sprintf("%s: %s", d.Name, d.State)
		if d.Outcome != "" {
			line += ", " + string(d.Outcome)
		}
		if why := strings.Trim(d.Reason+": "+d.Message, ": "); why != "" {
			line += " (" + why + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

// outcomeOf says how a run ended, and the exit code for it.
func outcomeOf(p *v1alpha1.RetentionPolicy, run string) (lines []string, code int) {
	var outcome v1alpha1.Outcome
	var evidence *v1alpha1.EvidenceReference
	message := ""
	if last := p.Status.LastRun; last != nil && last.Name == run {
		outcome, message, evidence = last.Outcome, last.Message, last.Evidence
	} else {
		for i := range p.Status.History {
			if h := &p.Status.History[i]; h.Name == run {
				outcome, message, evidence = h.Outcome, totals(&h.RunTotals), h.Evidence
			}
		}
	}
	if outcome == "" {
		return []string{fmt.Sprintf("Run %s has ended, and stands in the status no more; the ledger has it: kubectl retention evidence list", run)}, exitFailed
	}
	lines = []string{fmt.Sprintf("Run %s has ended: %s. %s", run, outcome, message)}
	switch outcome {
	case v1alpha1.OutcomeSucceeded, v1alpha1.OutcomeSimulated:
	case v1alpha1.OutcomeAwaitingApproval:
		code = exitApproval
		lines = append(lines, "See what is due, and approve it: kubectl retention approve-plan "+p.Name)
	default:
		code = exitNotAll
	}
	if evidence != nil && evidence.Index != nil {
		lines = append(lines, fmt.Sprintf("Evidence: entry %d, %s, %s", *evidence.Index, evidence.Level, evidence.Digest))
	}
	return lines, code
}

// totals are the figures of a run that has no message.
func totals(t *v1alpha1.RunTotals) string {
	return fmt.Sprintf("%s deleted, %s anonymized, %s remaining", count(value(t.Deleted)), count(value(t.Anonymized)), count(value(t.Remaining)))
}

// datastoreRun follows whatever works on a Datastore.
func (c *cluster) datastoreRun(name string) followed {
	run := ""
	return func(ctx context.Context) (*situation, error) {
		d := &v1alpha1.Datastore{}
		if err := c.get(ctx, name, d); err != nil {
			return nil, err
		}
		active := d.Status.ActiveRun
		switch {
		case active == nil && run == "":
			return &situation{lines: []string{"Nothing works on datastore " + name + "."}, over: true}, nil
		case active == nil || run != "" && active.Name != run:
			return &situation{lines: []string{fmt.Sprintf("Run %s has given datastore %s back.", run, name)}, pods: podsOf(run), over: true}, nil
		}
		run = active.Name
		return &situation{lines: []string{activeLine(d)}, pods: podsOf(run)}, nil
	}
}

func podsOf(run string) []labels.Set {
	return []labels.Set{{purgejob.LabelComponent: purgejob.ComponentPurge, purgejob.LabelRun: purgejob.LabelValue(run)}}
}

// activeLine says which run has a Datastore.
func activeLine(d *v1alpha1.Datastore) string {
	active := d.Status.ActiveRun
	if e := active.Erasure; e != nil {
		line := fmt.Sprintf("%s: run %s of %d erasure requests (%s, %s)", d.Name, active.Name, e.Requests, e.Mode, e.State)
		if why := strings.Trim(e.Reason+": "+e.Message, ": "); why != "" {
			line += ": " + why
		}
		return line
	}
	return fmt.Sprintf("%s: run %s of policy %s", d.Name, active.Name, active.Policy)
}

// request follows an ErasureRequest to its answer.
func (c *cluster) request(name string) followed {
	return func(ctx context.Context) (*situation, error) {
		r := &v1alpha1.ErasureRequest{}
		if err := c.get(ctx, name, r); err != nil {
			return nil, err
		}
		s := &situation{lines: requestLines(r)}
		for i := range r.Status.Datastores {
			if d := &r.Status.Datastores[i]; d.Run != "" && (d.Step == v1alpha1.ErasureStepFinding || d.Step == v1alpha1.ErasureStepErasing) {
				s.pods = append(s.pods, podsOf(d.Run)...)
			}
		}
		switch r.Status.State {
		case v1alpha1.ErasureAnswered, v1alpha1.ErasureWatching, v1alpha1.ErasureDenied:
			s.over = true
		case v1alpha1.ErasureAwaitingApproval:
			s.over, s.code = true, exitApproval
			s.lines = append(s.lines, "It waits for approval: kubectl retention approve "+name)
		}
		return s, nil
	}
}

func requestLines(r *v1alpha1.ErasureRequest) []string {
	line := fmt.Sprintf("Request %s: %s", r.Name, r.Status.State)
	if r.Status.Outcome != "" {
		line += ", " + string(r.Status.Outcome)
	}
	lines := []string{line}
	for i := range r.Status.Datastores {
		d := &r.Status.Datastores[i]
		line := fmt.Sprintf("%s: %s", d.Name, d.Step)
		if d.Outcome != "" {
			line += ", " + string(d.Outcome)
		}
		lines = append(lines, line)
	}
	return lines
}

// allRuns follows all that is under way in the namespace.
func (c *cluster) allRuns() followed {
	seen := false
	return func(ctx context.Context) (*situation, error) {
		list := &v1alpha1.DatastoreList{}
		if err := c.List(ctx, list, client.InNamespace(c.namespace)); err != nil {
			return nil, c.explained(err, "listing datastores")
		}
		s := &situation{}
		for i := range list.Items {
			if d := &list.Items[i]; d.Status.ActiveRun != nil {
				s.lines = append(s.lines, activeLine(d))
				s.pods = append(s.pods, podsOf(d.Status.ActiveRun.Name)...)
			}
		}
		switch {
		case len(s.lines) > 0:
			seen = true
		case seen:
			s.over, s.lines = true, []string{"All runs have ended."}
		default:
			s.over, s.lines = true, []string{"Nothing is under way in namespace " + c.namespace + "."}
		}
		return s, nil
	}
}
