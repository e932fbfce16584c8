// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
)

// conclude states how the active run ended over all of its Datastores, and only then completes it.
func (r *Reconciler) conclude(ctx context.Context, s *scope) error {
	run := s.run().DeepCopy()
	end(run, s.now)
	p := evidence.Predicate{
		Kind: evidence.Conclusion, Key: conclusionKey(s.policy, run), Policy: policyOf(s.policy), Run: runFacts(run, nil),
		Outcome: string(run.Outcome), Message: run.Message,
	}
	spec, err := facts.Spec("policy/"+s.policy.Name, s.policy.Spec)
	if err != nil {
		return err
	}
	subjects := []evidence.Subject{spec}
	var parts []part
	for i := range run.Datastores {
		result, err := r.resultIn(ctx, s, &run.Datastores[i])
		if err != nil {
			return err
		}
		if result == nil {
			parts = append(parts, unexecuted(s.policy.Namespace, &run.Datastores[i]))
			continue
		}
		parts = append(parts, executed(result))
		p.Results = append(p.Results, result.Reference)
		subjects = append(subjects, evidence.Subject{Name: fmt.Sprintf("statement/%d", result.Index),
			Digest: map[string]string{"sha256": strings.TrimPrefix(result.Digest, "sha256:")}})
	}
	_, problem := problemOf(run)
	sum(&p, parts, problem)
	if p.Closes, err = r.former(ctx, s, run); err != nil {
		return err
	}
	logged, err := r.state(ctx, p, subjects)
	if err != nil {
		return err
	}
	if stated := logged.Statement.Predicate.Run; stated != nil && stated.CompletionTime != nil { // of the pass that came first
		run.CompletionTime = ptr.To(metav1.NewTime(*stated.CompletionTime))
	}
	run.Evidence = facts.Reference(logged)
	completeRun(s.policy, run)
	return nil
}

// conclusionKey is that of the Conclusion of a run. A run that is approved in parts has several, which differ in their Jobs.
func conclusionKey(policy *retentionv1.RetentionPolicy, run *retentionv1.Run) string {
	key := fmt.Sprintf("%s/%s/%s", policy.UID, run.Name, run.Trigger)
	if run.Trigger != retentionv1.TriggerApproval {
		return key
	}
	var jobs strings.Builder
	for i := range run.Datastores {
		d := &run.Datastores[i]
		fmt.Fprintf(&jobs, "%s %s %t\n", d.Name, d.Job, d.ApprovedRecords != nil)
	}
	return key + "/" + evidence.DigestOf([]byte(jobs.String()))
}

// former is the Conclusion that this one supersedes: that of the same run before something in it was approved.
func (r *Reconciler) former(ctx context.Context, s *scope, run *retentionv1.Run) (*evidence.Reference, error) {
	var former *evidence.Reference
	if last := s.policy.Status.LastRun; last != nil && last.Name == run.Name {
		found, err := r.Evidence.Find(ctx, evidence.Conclusion, conclusionKey(s.policy, last))
		if err != nil {
			return nil, fmt.Errorf("looking for the former Conclusion of run %s: %w", run.Name, err)
		}
		if found != nil {
			former = &found.Reference
		}
	}
	return former, nil
}

// resultIn returns the Result of an entry's Job; nil if it never had one that could have done anything.
func (r *Reconciler) resultIn(ctx context.Context, s *scope, d *retentionv1.RunDatastore) (*evidence.Logged, error) {
	var result *evidence.Logged
	if d.Job != "" {
		var err error
		if result, err = r.Evidence.Find(ctx, evidence.Result, s.key(d.Job)); err != nil {
			return nil, fmt.Errorf("looking for the Result of Job %s: %w", d.Job, err)
		}
	}
	return result, nil
}
