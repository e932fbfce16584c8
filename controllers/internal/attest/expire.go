// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/schedule"
)

// lookAgain is after which time a declaration that backups live longer is looked at again: it may be taken back.
const lookAgain = time.Hour

const (
	asDeclared = "The last backup that may have held what was deleted has expired, by what spec.backups.retention of the Datastores " +
		"declared when it was deleted. Nobody has looked into a backup."
	asExtended = " Where more has been declared since, that is over, too."
)

// expire states that backups have expired, of all statements of which that is so.
func (t *Tender) expire(ctx context.Context, state *ledger.State) error {
	now := t.Clock.Now().UTC().Truncate(time.Millisecond)
	waits := map[int64]time.Time{}
	var errs []error
	for i := range state.Expired {
		index := state.Expired[i].Index
		wait := t.waits[index]
		if !wait.After(now) {
			var err error
			if wait, err = t.expired(ctx, index, now); err != nil {
				errs = append(errs, fmt.Errorf("the backups of entry %d: %w", index, err))
			}
		}
		if wait.After(now) {
			waits[index] = wait
		}
	}
	t.waits = waits
	metrics.ExpiredBackups.Set(float64(len(errs)))
	return errors.Join(errs...)
}

// expired states that the backups of one statement have expired, unless a Datastore declares by now that they live longer: then
// it returns when to look again.
func (t *Tender) expired(ctx context.Context, index int64, now time.Time) (wait time.Time, err error) {
	closed, err := t.entry(ctx, index)
	if err != nil {
		return wait, err
	}
	was := &closed.Statement.Predicate
	if was.GoneBy == nil || now.Before(*was.GoneBy) {
		return wait, nil // the ledger's clock is ahead
	}
	goneBy, message := *was.GoneBy, asDeclared
	var datastores []evidence.Datastore
	for i := range was.Datastores {
		d := &was.Datastores[i]
		datastores = append(datastores, evidence.Datastore{Object: d.Object, Engine: d.Engine, Level: d.Level, BackupRetention: d.BackupRetention})
		until, err := t.longer(ctx, was, d)
		if err != nil {
			return wait, err
		}
		if until.After(now) {
			return earlier(until, now.Add(lookAgain)), nil
		}
		if until.After(goneBy) {
			goneBy, message = until, asDeclared+asExtended
		}
	}
	p := evidence.Predicate{
		Kind: evidence.BackupsExpired, Key: closed.Digest, Time: now, Level: was.Level, Message: message, Closes: &closed.Reference,
		LogicallyDeletedTime: was.LogicallyDeletedTime, GoneBy: &goneBy, Datastores: datastores,
	}
	if was.Policy != nil {
		p.Policy = &evidence.Policy{Object: was.Policy.Object}
	}
	if was.Run != nil {
		p.Run = &evidence.Run{Name: was.Run.Name, Mode: was.Run.Mode}
	}
	if was.Request != nil {
		p.Request = &evidence.Request{Object: was.Request.Object}
	}
	_, err = t.Append(ctx, p, evidence.Subject{Name: "statement", Digest: digestOf(closed.Digest)})
	return wait, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// longer is when the backups of a Datastore expire by what it declares now, if that is not what it declared then. It is zero if
// it declares the same, nothing, or is gone: then what it declared then is all that is known.
func (t *Tender) longer(ctx context.Context, was *evidence.Predicate, d *evidence.Datastore) (time.Time, error) {
	ds := &v1alpha1.Datastore{}
	err := t.Cache.Get(ctx, client.ObjectKey{Namespace: d.Namespace, Name: d.Name}, ds)
	switch {
	case apierrors.IsNotFound(err):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, fmt.Errorf("reading Datastore %s/%s: %w", d.Namespace, d.Name, err)
	case string(ds.UID) != d.UID || ds.Spec.Backups == nil || string(ds.Spec.Backups.Retention) == d.BackupRetention || was.LogicallyDeletedTime == nil:
		return time.Time{}, nil
	}
	period, err := schedule.ParsePeriod(string(ds.Spec.Backups.Retention))
	if err != nil {
		return time.Time{}, fmt.Errorf("spec.backups.retention of Datastore %s/%s: %w", d.Namespace, d.Name, err)
	}
	zone := time.UTC
	if was.Policy != nil && was.Policy.TimeZone != "" {
		if zone, err = time.LoadLocation(was.Policy.TimeZone); err != nil {
			zone = time.UTC
		}
	}
	return period.AddTo(*was.LogicallyDeletedTime, zone), nil
}
