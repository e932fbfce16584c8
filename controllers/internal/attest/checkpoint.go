// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

const (
	// CheckpointName is the ConfigMap with the latest checkpoint of the ledger that the operator has seen and cosigned, under
	// `checkpoint`, and its `size`. The last one of earlier days stands under the day (UTC): of each of the last 31 days, and
	// of each month before. What a person has had replaced stays under `replaced-` and the time.
	CheckpointName = "retention-ledger-checkpoint"
	// AnnotationAccept on that ConfigMap has a ledger accepted that does not go on from the checkpoint that is kept. Its value
	// is the hexadecimal root of the ledger, as the event and the error name it. It is taken off when it has been used.
	AnnotationAccept = v1alpha1.Group + "/accepted-ledger"

	checkpointKey  = "checkpoint"
	sizeKey        = "size"
	replacedPrefix = "replaced-"
	replacedTime   = "20060102T150405Z"

	keepDays   = 31
	keepMonths = 240 // older ones would only fill the ConfigMap
)

// kept is what the ConfigMap says.
type kept struct {
	cm         *corev1.ConfigMap
	checkpoint *evidence.Checkpoint // nil before the first contact
	// problem is why what is kept cannot be compared with.
	problem error
}

// highWater is the largest checkpoint that was kept, and the latest acceptance by a person then: only an acceptance makes what
// is kept smaller.
type highWater struct {
	size     int64
	accepted string // a key of the ConfigMap, or empty
}

func (k *kept) highWater() *highWater {
	h := &highWater{size: k.checkpoint.Size}
	for key := range k.cm.Data {
		if strings.HasPrefix(key, replacedPrefix) {
			h.accepted = max(h.accepted, key)
		}
	}
	return h
}

// load reads the ConfigMap. If what it has is less than this process has seen there before, it was put back: then nobody can
// tell what the ledger lost that was perhaps put back with it.
func (w *witness) load(ctx context.Context) (*kept, error) {
	k, err := w.read(ctx)
	switch {
	case err != nil || k.problem != nil:
	case k.checkpoint == nil:
		if w.high != nil {
			k.problem = checkpointGone()
		}
	default:
		now := k.highWater()
		if w.high != nil && now.size < w.high.size && now.accepted <= w.high.accepted {
			k.problem = &evidence.Problem{Code: evidence.CodeTruncated, Sentence: fmt.Sprintf(
				"the checkpoint that the operator keeps was put back: it is of %d entries, and was of %d; entries may have been taken away with it", now.size, w.high.size)}
			break
		}
		w.high = now
	}
	return k, err
}

func checkpointGone() error {
	return &evidence.Problem{Code: evidence.CodeCheckpoint, Sentence: "the checkpoint of the ledger that the operator had kept is gone, so nobody can tell whether entries were taken away"}
}

func (w *witness) read(ctx context.Context) (*kept, error) {
	keys, err := w.keys.cached(ctx)
	if err != nil {
		return nil, err
	}
	k := &kept{cm: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: CheckpointName}}}
	if err := w.client.Get(ctx, client.ObjectKeyFromObject(k.cm), k.cm); err != nil && !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the kept checkpoint: %w", err)
	}
	text := k.cm.Data[checkpointKey]
	if text == "" {
		if keys.witnessed {
			k.problem = checkpointGone()
		}
		return k, nil
	}
	own := *keys.trust
	own.RequireWitness = true
	if k.checkpoint, err = evidence.OpenCheckpoint([]byte(text), &own); err != nil {
		k.problem = fmt.Errorf("the kept checkpoint is not one that this operator has cosigned: %w", err)
	}
	if !keys.witnessed {
		return k, w.keys.witnessing(ctx)
	}
	return k, nil
}

// first keeps the first checkpoint ever. Whatever the ledger is then, is taken as it is.
func (w *witness) first(ctx context.Context, cp *evidence.Checkpoint) error {
	if err := w.keep(ctx, cp, w.kept.next); err != nil {
		return err
	}
	kind := corev1.EventTypeNormal
	if cp.Size > 0 {
		kind = corev1.EventTypeWarning
	}
	w.events.Eventf(w.regarding(), nil, kind, "LedgerTrusted", "CompareLedger",
		"First contact with the ledger %s, which has %d entries: from now on it may only grow", cp.Origin, cp.Size)
	return w.keys.witnessing(ctx)
}

// accepted keeps a checkpoint that does not go on from the kept one, if a person has said so; else it returns what is wrong.
func (w *witness) accepted(ctx context.Context, cp *evidence.Checkpoint, wrong *Inconsistent) error {
	root := hex.EncodeToString(cp.Root[:])
	if w.kept.cm.Annotations[AnnotationAccept] != root {
		return wrong
	}
	err := w.keep(ctx, cp, func(data map[string]string, now time.Time) {
		if was := data[checkpointKey]; was != "" {
			data[replacedPrefix+now.Format(replacedTime)] = was
		}
	})
	if err != nil {
		return err
	}
	w.events.Eventf(w.regarding(), nil, corev1.EventTypeWarning, "LedgerAccepted", "AcceptLedger",
		"A person has accepted the ledger %s with %d entries and the root %s, although: %s", cp.Origin, cp.Size, root, clip(wrong.err.Error()))
	return nil
}

// keep writes the checkpoint, cosigned, into the version of the ConfigMap that was read; before changes what else is there.
func (w *witness) keep(ctx context.Context, cp *evidence.Checkpoint, before func(data map[string]string, now time.Time)) error {
	signed, err := w.cosigned(ctx, cp)
	if err != nil {
		return err
	}
	cm := w.kept.cm.DeepCopy()
	if cm.Data == nil {
		cm.Data = map[string]string{}
	}
	before(cm.Data, w.clock.Now().UTC())
	cm.Data[checkpointKey], cm.Data[sizeKey] = string(signed.Note), strconv.FormatInt(signed.Size, 10)
	delete(cm.Annotations, AnnotationAccept)
	write := func() error { return w.client.Update(ctx, cm) }
	if cm.ResourceVersion == "" {
		write = func() error { return w.client.Create(ctx, cm) }
	}
	if err := write(); err != nil {
		w.kept = nil // the write may have come through all the same
		return fmt.Errorf("keeping the checkpoint: %w", err)
	}
	w.kept = &kept{cm: cm, checkpoint: signed}
	w.high = w.kept.highWater()
	return nil
}

// next keeps the last checkpoint of a day that is over, and drops those that are too many.
func (k *kept) next(data map[string]string, now time.Time) {
	if k.checkpoint == nil || k.checkpoint.Witnessed == nil {
		return
	}
	if day := k.checkpoint.Witnessed.Format(time.DateOnly); day != now.Format(time.DateOnly) {
		data[day] = string(k.checkpoint.Note)
	}
	thin(data, now)
}

// thin keeps each of the last days, and the last one of each month before.
func thin(data map[string]string, now time.Time) {
	var days []string
	for key := range maps.Keys(data) {
		if _, err := time.Parse(time.DateOnly, key); err == nil {
			days = append(days, key)
		}
	}
	slices.Sort(days)
	oldest, months := now.AddDate(0, 0, -keepDays).Format(time.DateOnly), 0
	month := func(day string) string { return day[:len("2006-01")] }
	for i := len(days) - 1; i >= 0; i-- {
		if days[i] >= oldest {
			continue
		}
		if i+1 < len(days) && month(days[i+1]) == month(days[i]) || months == keepMonths {
			delete(data, days[i])
			continue
		}
		months++
	}
}

// regarding is what events about the ledger are about.
func (w *witness) regarding() *corev1.ConfigMap {
	if w.kept != nil {
		return w.kept.cm
	}
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: CheckpointName}}
}
