// SPDX-License-Identifier: Apache-2.0

package erasure

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Logs reads the log of a Pod.
type Logs func(ctx context.Context, namespace, pod string) (io.ReadCloser, error)

// logPatience is for how long a log that cannot be had now, as of a node that does not answer, is asked for again.
const logPatience = 10 * time.Minute

// Attempts returns the attempts of a Job that has ended and settled, each with its account as far as it can be had. An
// error says that more may be had later.
func Attempts(ctx context.Context, logs Logs, keys sealing.Keys, job *batchv1.Job, pods []corev1.Pod, now time.Time) ([]receipt.ErasureAttempt, error) {
	uncounted := job.DeepCopy()
	uncounted.Status.Failed, uncounted.Status.Succeeded = 0, 0 // so that each Pod's own attempts come back
	var out []receipt.ErasureAttempt
	succeeded := false
	for _, pod := range purgejob.PodsOf(job, pods) {
		succeeded = succeeded || pod.Status.Phase == corev1.PodSucceeded
		own := purgejob.Attempts(uncounted, []corev1.Pod{pod})
		for i, a := range own {
			e := receipt.ErasureAttempt{Attempt: a}
			if i == len(own)-1 { // the log of an earlier container of the same Pod is gone
				var err error
				if e.Lines, e.Complete, err = account(ctx, logs, keys, &pod, a, now); err != nil {
					return nil, err
				}
			}
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b receipt.ErasureAttempt) int { return a.Started.Compare(b.Started) })
	all := purgejob.Attempts(job, pods) // with those of Pods that nobody kept
	if succeeded {
		lost := all[:len(all)-len(out)]
		return append(unaccounted(lost), out...), nil
	}
	return append(out, unaccounted(all[len(out):])...), nil
}

func unaccounted(attempts []receipt.Attempt) []receipt.ErasureAttempt {
	var out []receipt.ErasureAttempt
	for _, a := range attempts {
		out = append(out, receipt.ErasureAttempt{Attempt: a})
	}
	return out
}

// Perishable says whether the log of a Pod is about to go: it has ended and is being deleted, as when its Job was stopped or
// its node drained. A kubelet throws the log away within a minute then, whatever keeps the Pod.
func Perishable(pod *corev1.Pod) bool {
	return !pod.DeletionTimestamp.IsZero() && (pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
}

// maxKept is how much of a log fits into a ConfigMap.
const maxKept = 900 << 10

// Keep reads the lines of the account in the log of a Pod while it can be had, and returns them packed, to be put by. They
// are sealed as they are, and the Pod's receipt says what they hash to. It returns nil for what cannot be read or kept.
func Keep(ctx context.Context, logs Logs, pod *corev1.Pod) ([]byte, error) {
	log, err := logs(ctx, pod.Namespace, pod.Name)
	if err != nil {
		return nil, nil // what there is later must do
	}
	defer func() { _ = log.Close() }()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	for in := bufio.NewReader(log); err == nil; {
		var line []byte
		if line, err = in.ReadBytes('\n'); bytes.Contains(line, []byte(receipt.AccountMessage)) {
			if _, err := w.Write(line); err != nil {
				return nil, fmt.Errorf("packing the account of Pod %s: %w", pod.Name, err)
			}
		}
		if packed.Len() > maxKept {
			return nil, nil
		}
	}
	if closed := w.Close(); closed != nil || !errors.Is(err, io.EOF) || packed.Len() > maxKept {
		return nil, nil
	}
	return packed.Bytes(), nil
}

// Unpack returns the log that Keep has packed.
func Unpack(packed []byte) (io.ReadCloser, error) { return gzip.NewReader(bytes.NewReader(packed)) }

// account reads the account of one container.
func account(ctx context.Context, logs Logs, keys sealing.Keys, pod *corev1.Pod, a receipt.Attempt, now time.Time) ([]receipt.Line, bool, error) {
	var sum *receipt.AccountSum
	if a.Receipt != nil {
		if sum = a.Receipt.Account; sum == nil {
			return nil, true, nil // it ended before it had anything to tell
		}
	}
	log, err := logs(ctx, pod.Namespace, pod.Name)
	switch {
	case err == nil:
	case !apierrors.IsNotFound(err) && !apierrors.IsBadRequest(err) && now.Sub(a.Finished) < logPatience:
		return nil, false, fmt.Errorf("reading the log of Pod %s: %w", pod.Name, err)
	default:
		return nil, false, nil
	}
	defer func() { _ = log.Close() }()
	var failed error
	lines, complete := receipt.OpenAccount(log, sum, func(sealed string) ([]byte, error) {
		plaintext, _, err := keys.Open(ctx, sealed)
		if err != nil && !Lost(err) {
			failed = err
		}
		return plaintext, err
	})
	if failed != nil {
		return nil, false, fmt.Errorf("opening the account of Pod %s: %w", pod.Name, failed)
	}
	return lines, complete, nil
}
