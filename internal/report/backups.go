// SPDX-License-Identifier: Apache-2.0

package report

import (
	"slices"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// expiryGrace is how long after the last backup has expired the statement about it may be missing.
const expiryGrace = 24 * time.Hour

type backupData struct {
	out       Backup
	retention string
	inside    bool
}

// backup notes what backups may hold of what a Result has deleted or anonymized in a Datastore.
func (b *builder) backup(p *evidence.Predicate, d *evidence.Datastore, ref *Ref, g gone, inside bool) {
	goneBy := d.GoneBy
	if goneBy == nil {
		goneBy = p.GoneBy
	}
	// What nobody has counted may be in backups as well.
	if g.deleted.n == 0 && g.anonymized.n == 0 && !g.deleted.atLeast && !g.anonymized.atLeast && goneBy == nil {
		return
	}
	deletedOn := ref.Time
	switch {
	case p.LogicallyDeletedTime != nil:
		deletedOn = p.LogicallyDeletedTime.UTC()
	case d.CompletionTime != nil:
		deletedOn = d.CompletionTime.UTC()
	}
	b.backups = append(b.backups, &backupData{
		out: Backup{
			Namespace: d.Namespace, Datastore: d.Name, Of: about(p), Deleted: g.deleted.count(), Anonymized: g.anonymized.count(),
			DeletedOn: deletedOn, GoneBy: utc(goneBy), Evidence: ref,
		},
		retention: d.BackupRetention, inside: inside,
	})
}

// finishBackups says how each stands, and keeps those of the period, and those from before that backups held in it.
func (b *builder) finishBackups() {
	totals := map[string]*BackupTotal{}
	for _, d := range b.backups {
		o := &d.out
		o.Expired = b.expired[o.Evidence.Index]
		switch {
		case o.GoneBy == nil:
			o.State = BackupUndeclared
		case o.Expired != nil:
			o.State = BackupExpired
		case b.in.Now.Sub(*o.GoneBy) > expiryGrace:
			o.State = BackupOverdue
		default:
			o.State = BackupPending
		}
		before := !d.inside && o.Evidence.Time.Before(b.in.From)
		held := o.State != BackupUndeclared && !o.GoneBy.Before(b.in.From) || o.State == BackupOverdue
		if !d.inside && !(before && held) {
			continue
		}
		b.r.Backups = append(b.r.Backups, *o)
		key := o.Namespace + "/" + o.Datastore
		t := totals[key]
		if t == nil {
			t = &BackupTotal{Namespace: o.Namespace, Datastore: o.Datastore}
			totals[key] = t
		}
		t.add(d)
	}
	for _, t := range totals {
		b.r.BackupTotals = append(b.r.BackupTotals, *t)
	}
	slices.SortFunc(b.r.BackupTotals, func(x, y BackupTotal) int {
		return compareStrings(x.Namespace, y.Namespace, x.Datastore, y.Datastore)
	})
	rank := map[BackupState]int{BackupOverdue: 0, BackupPending: 1, BackupUndeclared: 2, BackupExpired: 3}
	slices.SortStableFunc(b.r.Backups, func(x, y Backup) int {
		if x.State == y.State && x.GoneBy != nil && y.GoneBy != nil {
			return x.GoneBy.Compare(*y.GoneBy)
		}
		return rank[x.State] - rank[y.State]
	})
	b.r.BackupTotals, b.r.Backups = list(b.r.BackupTotals), list(b.r.Backups)
}

func (t *BackupTotal) add(d *backupData) {
	t.Deletions++
	if d.retention != "" {
		t.Retention = d.retention // of the latest deletion
	}
	switch d.out.State {
	case BackupExpired:
		t.Expired++
	case BackupPending:
		t.Pending++
		if t.LastGoneBy == nil || t.LastGoneBy.Before(*d.out.GoneBy) {
			t.LastGoneBy = d.out.GoneBy
		}
	case BackupOverdue:
		t.Overdue++
	case BackupUndeclared:
		t.Undeclared++
	}
}
