// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/internal/purgejob"
)

const (
	// followEvery is how often objects and Pods are looked at.
	followEvery = time.Second
	// drainFor is how long the last lines of logs are waited for when all has ended.
	drainFor = 3 * time.Second
)

// situation is how that stands which is followed.
type situation struct {
	// lines say it, in a few lines.
	lines []string
	// pods are the labels of its Pods, one set for each group.
	pods []labels.Set
	// over says that it has ended; code is the exit code then.
	over bool
	code int
}

// followed is what can be followed.
type followed func(ctx context.Context) (*situation, error)

// podLine is a line of a Pod's log.
type podLine struct {
	store, pod string
	line       *logLine
	err        error
}

// follower follows objects and the logs of their Pods.
type follower struct {
	c      *cluster
	view   *view
	lines  chan podLine
	pods   map[types.UID]bool
	open   int // logs that are being read
	denied bool
}

// follow shows what is under way until it is over, the time is out (zero is none), or ctx ends. It returns the exit code.
func (c *cluster) follow(ctx context.Context, t *terminal, timeout time.Duration, look followed) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &follower{c: c, view: newView(t), lines: make(chan podLine), pods: map[types.UID]bool{}}
	var out <-chan time.Time
	if timeout > 0 {
		out = time.After(timeout)
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		now, err := look(ctx)
		if err != nil && ctx.Err() == nil && !passing(err) {
			f.view.clear()
			return exitFailed, err
		}
		if err == nil {
			if err := f.logs(ctx, now.pods); err != nil && ctx.Err() == nil {
				return exitFailed, err
			}
			f.view.state(now.lines)
			if now.over {
				f.drain(ctx)
				f.view.finish()
				return now.code, nil
			}
		}
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				f.view.finish()
				f.view.say("Stopped watching; what is under way goes on.")
				return exitInterrupted, nil
			case <-out:
				f.view.finish()
				f.view.say("It is still under way after %s.", timeout)
				return exitTimeout, nil
			case l := <-f.lines:
				f.take(l)
			case <-tick.C:
				waiting = false
			}
		}
	}
}

// passing says whether an error may pass by itself: a server that restarts, or is busy.
func passing(err error) bool {
	return apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err) || apierrors.IsInternalError(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// logs begins to read the logs of Pods that are new.
func (f *follower) logs(ctx context.Context, sets []labels.Set) error {
	for _, set := range sets {
		list := &corev1.PodList{}
		err := f.c.List(ctx, list, client.InNamespace(f.c.namespace), client.MatchingLabelsSelector{Selector: set.AsSelector()})
		if apierrors.IsForbidden(err) {
			f.view.once("You may not list Pods here, so there are no figures while it works.")
			return nil
		}
		if err != nil {
			return f.c.explained(err, "listing Pods")
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if f.pods[pod.UID] || !started(pod) {
				continue
			}
			f.pods[pod.UID] = true
			f.open++
			go f.read(ctx, pod)
		}
	}
	return nil
}

// started says whether a Pod has a log.
func started(pod *corev1.Pod) bool {
	for i := range pod.Status.ContainerStatuses {
		if s := pod.Status.ContainerStatuses[i].State; s.Running != nil || s.Terminated != nil {
			return true
		}
	}
	return false
}

// read reads a Pod's log to its end. A log that breaks off is taken up again where it broke.
func (f *follower) read(ctx context.Context, pod *corev1.Pod) {
	store := pod.Labels[purgejob.LabelDatastore]
	send := func(line *logLine, err error) {
		select {
		case f.lines <- podLine{store, pod.Name, line, err}:
		case <-ctx.Done():
		}
	}
	var last time.Time
	for attempt := 0; ; attempt++ {
		again, err := f.stream(ctx, pod, &last, func(line *logLine) { send(line, nil) })
		if !again || attempt >= 5 || ctx.Err() != nil {
			send(nil, err)
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(followEvery):
		}
	}
}

// maxLogLine is more than a line has: see the account.
const maxLogLine = 1 << 20

// stream reads a log from the line after last. It says whether to try again.
func (f *follower) stream(ctx context.Context, pod *corev1.Pod, last *time.Time, take func(*logLine)) (again bool, err error) {
	options := &corev1.PodLogOptions{Container: purgejob.ContainerName, Follow: true}
	if !last.IsZero() {
		options.SinceTime = &metav1.Time{Time: *last}
	}
	stream, err := f.c.core.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, options).Stream(ctx)
	if err != nil {
		return !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err), err
	}
	defer stream.Close()
	lines := bufio.NewScanner(stream)
	lines.Buffer(make([]byte, 0, 64<<10), maxLogLine)
	for lines.Scan() {
		line := readLogLine(lines.Bytes())
		if line == nil || !line.Time.After(*last) {
			continue
		}
		*last = line.Time
		take(line)
		if line.Message == logEnded {
			return false, nil
		}
	}
	// Without its last line it has broken off, unless the process was killed.
	return !f.ended(ctx, pod), lines.Err()
}

// ended says whether nothing more can come from a Pod.
func (f *follower) ended(ctx context.Context, pod *corev1.Pod) bool {
	now := &corev1.Pod{}
	if err := f.c.Get(ctx, client.ObjectKeyFromObject(pod), now); err != nil {
		return apierrors.IsNotFound(err)
	}
	return now.UID != pod.UID || now.Status.Phase == corev1.PodSucceeded || now.Status.Phase == corev1.PodFailed
}

func (f *follower) take(l podLine) {
	if l.line != nil {
		f.view.line(l.store, l.pod, l.line)
		return
	}
	f.open--
	if apierrors.IsForbidden(l.err) && !f.denied {
		f.denied = true
		f.view.say("You may not read the logs of Pods here, so there are no figures while it works.")
	}
}

// drain takes the last lines of the logs.
func (f *follower) drain(ctx context.Context) {
	timeout := time.After(drainFor)
	for f.open > 0 {
		select {
		case l := <-f.lines:
			f.take(l)
		case <-timeout:
			return
		case <-ctx.Done():
			return
		}
	}
}
