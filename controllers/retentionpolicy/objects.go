// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/jobs"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// jobInput says what the Job of an entry is made of.
func (r *Reconciler) jobInput(s *scope, ds *retentionv1.Datastore, d *retentionv1.RunDatastore, c *compiled) purgejob.Input {
	carried := ""
	if c.holds.Sealed(&c.plan) {
		carried = d.Job
	}
	return purgejob.Input{
		Kind:                  plan.Retention,
		Namespace:             s.policy.Namespace,
		Name:                  d.Job,
		Run:                   s.run().Name,
		Policy:                s.policy.Name,
		Datastore:             ds.Name,
		Owner:                 *metav1.NewControllerRef(s.policy, retentionv1.GroupVersion.WithKind("RetentionPolicy")),
		Plan:                  c.encoded,
		Image:                 r.Image,
		ConnectionSecret:      ds.Spec.GetConnectionSecret(),
		Keys:                  purgejob.KeysOf(&c.plan),
		Holds:                 c.holds.Sources(&c.plan),
		Types:                 holds.Types(&c.plan),
		Carried:               carried,
		ApprovedRecords:       d.ApprovedRecords,
		ActiveDeadlineSeconds: s.policy.Spec.GetActiveDeadlineSeconds(),
		Suspend:               true,
	}
}

// ensure makes the Secret with what holds have sealed, if they have, the ConfigMap and the suspended Job, or finds the latter
// two made by an earlier pass. What is there and not provably ours is an error that wraps purgejob.ErrForeign.
func (r *Reconciler) ensure(ctx context.Context, in purgejob.Input, c *compiled) error {
	if in.Carried != "" {
		opened, err := c.holds.Carried(ctx, r.Keys, &c.plan)
		if err != nil {
			return err
		}
		if err := r.jobs().HandOff(ctx, in, opened); err != nil {
			return err
		}
	}
	_, err := r.jobs().Ensure(ctx, in)
	return err
}

func (r *Reconciler) jobs() jobs.Keeper { return jobs.Keeper{Client: r.Client, Live: r.Live} }

// prune deletes the Jobs and plans of runs before the last one. It runs only while no run is active.
func (r *Reconciler) prune(ctx context.Context, policy *retentionv1.RetentionPolicy) error {
	keep := map[string]bool{}
	if last := policy.Status.LastRun; last != nil {
		for i := range last.Datastores {
			keep[last.Datastores[i].Job] = true
		}
	}
	of := client.MatchingLabels{purgejob.LabelPolicy: purgejob.LabelValue(policy.Name)}
	jobs := &batchv1.JobList{}
	if err := r.Client.List(ctx, jobs, client.InNamespace(policy.Namespace), of); err != nil {
		return fmt.Errorf("listing Jobs: %w", err)
	}
	plans := &corev1.ConfigMapList{}
	if err := r.Client.List(ctx, plans, client.InNamespace(policy.Namespace), of); err != nil {
		return fmt.Errorf("listing plans: %w", err)
	}
	obsolete := func(obj client.Object) bool {
		return !keep[obj.GetName()] && metav1.IsControlledBy(obj, policy) && obj.GetDeletionTimestamp().IsZero()
	}
	oldJobs := slices.DeleteFunc(jobs.Items, func(j batchv1.Job) bool { return !obsolete(&j) })
	oldPlans := slices.DeleteFunc(plans.Items, func(p corev1.ConfigMap) bool { return !obsolete(&p) })
	if len(oldJobs)+len(oldPlans) == 0 {
		return nil
	}
	// The caches of policies and Jobs may be of different times: a Job that looks old may be that of a run which has begun.
	live := &retentionv1.RetentionPolicy{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(policy), live); err != nil || live.ResourceVersion != policy.ResourceVersion {
		return client.IgnoreNotFound(err)
	}
	for i := range oldJobs {
		if err := r.jobs().LetGo(ctx, policy, oldJobs[i].Name); err != nil {
			return err
		}
		if err := r.delete(ctx, &oldJobs[i]); err != nil {
			return err
		}
	}
	for i := range oldPlans {
		if err := r.delete(ctx, &oldPlans[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) delete(ctx context.Context, obj client.Object) error {
	uid := obj.GetUID()
	err := r.Client.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting %T %s: %w", obj, obj.GetName(), err)
	}
	return nil
}
