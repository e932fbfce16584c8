// SPDX-License-Identifier: Apache-2.0

package holds

import (
	"testing"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// The model: one Datastore, one hold, a policy that runs twice, and two managers that each believe to be the leader. Every
// read and every write of the API server is a step of its own, and steps of all parties come in every order. A manager works
// with what it has read, however old that is by now, and may forget all of it at any time, as after a restart. Two plans are
// possible for a run: plan 0 was compiled without the hold and deletes what it keeps, plan 1 respects it.
const (
	runs     = 2
	managers = 2
	nobody   = -1
)

// defects are what a correct protocol does not have: each of them has to be found by the search.
type defects struct {
	noLook, noGate, noFence, noMark, noPatience bool
}

// datastore is the status of the Datastore: whether the hold is registered, which run holds it, and whether that has the hold
// on record. version is the resourceVersion.
type datastore struct {
	version    uint8
	registered bool
	run        int8
	seen       bool
}

type phase uint8

const (
	waiting phase = iota
	preparing
	released
	finished
	over
)

// entry is the policy's status for the Datastore.
type entry struct {
	version uint8
	run     uint8
	phase   phase
	plan    uint8
}

type mark uint8

const (
	unmarked mark = iota
	replaced
	halted
)

// job is a Job with its Pods. due says that the Job controller may still start a Pod, be it from an old view of the Job.
type job struct {
	version   uint8
	exists    bool
	suspended bool
	mark      mark
	due       bool
	running   bool
	done      bool
}

// manager is what a pass of a manager has read so far, and where it is.
type manager struct {
	at     step
	policy entry
	ds     datastore
	job    job
	listed bool
}

// controller is the same of the hold's controller.
type controller struct {
	at step
	ds datastore
}

type step uint8

const (
	begin step = iota
	readDatastore
	confirmWaiting
	listHolds
	take
	compile
	storePlan
	makeJob
	storeReleased
	readJob
	gatePolicy
	gateDatastore
	gateHolds
	replaceJob
	recordHolds
	unsuspend
	watchDatastore
	watchHolds
	watchPolicy
	acknowledge
	halt
	collect
	giveBack
	storeNext
)

// world is everything.
type world struct {
	created, enforced bool
	ds                datastore
	policy            entry
	jobs              [runs][2]job
	managers          [managers]manager
	hold              controller
}

const uid = "h"

// status and datastoreOf translate, so that the model steps through the very functions that the controllers use.
func (d datastore) status() *retentionv1.DatastoreStatus {
	st := &retentionv1.DatastoreStatus{}
	if d.registered {
		st.Holds = []retentionv1.RegisteredHold{{Name: uid, UID: uid}}
	}
	if d.run != nobody {
		st.ActiveRun = &retentionv1.ActiveRun{Name: string(rune('0' + d.run)), Holds: list(d.seen)}
	}
	return st
}

func (d datastore) with(st *retentionv1.DatastoreStatus) datastore {
	d.registered = Registered(st, uid)
	d.run, d.seen = nobody, false
	if st.ActiveRun != nil {
		d.run, d.seen = int8(st.ActiveRun.Name[0]-'0'), len(st.ActiveRun.Holds) > 0
	}
	return d
}

func list(held bool) []string {
	if held {
		return []string{uid}
	}
	return nil
}

func planOf(held bool) uint8 {
	if held {
		return 1
	}
	return 0
}

// next calls yield with every world that one step leads to.
func (w world) next(bad defects, yield func(world)) {
	if !w.created {
		n := w
		n.created = true
		yield(n)
	}
	w.holdSteps(bad, yield)
	w.podSteps(yield)
	for i := range w.managers {
		if w.managers[i].at != begin {
			n := w
			n.managers[i] = manager{} // it dies, and starts anew
			yield(n)
		}
		w.step(i, bad, yield)
	}
}

// holdSteps are the steps of the hold's controller: read, register, look.
func (w world) holdSteps(bad defects, yield func(world)) {
	if !w.created || w.enforced {
		return
	}
	h := &w.hold
	switch h.at {
	case begin:
		h.ds, h.at = w.ds, take
	case take:
		st := h.ds.status()
		h.at = acknowledge
		if Register(st, uid, uid, retentionv1.RegisteredHold{}.RegisteredTime) {
			if h.ds.version != w.ds.version && !bad.noFence {
				h.at = begin // a conflict
				break
			}
			w.ds.registered = true
			w.ds.version++
			h.ds = w.ds
		}
	case acknowledge:
		w.enforced = Enforced(h.ds.status(), uid) || bad.noLook && h.ds.registered
		h.at = begin
	}
	yield(w)
}

// podSteps are the steps of the Job controller and the kubelet.
func (w world) podSteps(yield func(world)) {
	for run := range w.jobs {
		for p := range w.jobs[run] {
			j := w.jobs[run][p]
			change := func(do func(j *job)) {
				n := w
				do(&n.jobs[run][p])
				yield(n)
			}
			if j.due && !j.running && !j.done {
				change(func(j *job) { j.running = true })
			}
			if j.due && j.suspended { // the Job controller has seen that it is suspended
				change(func(j *job) { j.due = false })
			}
			if j.running { // it was told to stop, or is killed
				change(func(j *job) { j.running = false })
				change(func(j *job) { j.running, j.done, j.due = false, true, false; j.version++ })
			}
		}
	}
}

// violated says whether a Pod can now delete what an enforced hold keeps.
func (w world) violated() bool {
	if !w.enforced {
		return false
	}
	for run := range w.jobs {
		if w.jobs[run][0].running {
			return true
		}
	}
	return false
}

// patchDatastore writes what a manager has made of the status that it had read, unless somebody was faster.
func (w *world) patchDatastore(m *manager, st *retentionv1.DatastoreStatus, bad defects) bool {
	if m.ds.version != w.ds.version && !bad.noFence {
		m.at = begin
		return false
	}
	changed := m.ds.with(st)
	w.ds.run, w.ds.seen = changed.run, changed.seen // a merge patch of activeRun
	w.ds.version++
	m.ds = w.ds
	return true
}

// store ends a pass by writing the policy's status.
func (w *world) store(m *manager, e entry) {
	if m.policy.version == w.policy.version {
		e.version = w.policy.version + 1
		w.policy = e
	}
	m.at = begin
}

func (w *world) jobOf(e entry) *job { return &w.jobs[e.run][e.plan] }

func (m *manager) holds() bool { return m.ds.run == int8(m.policy.run) }

// step makes the next step of a manager's pass.
func (w world) step(i int, bad defects, yield func(world)) {
	m := &w.managers[i]
	switch m.at {
	case begin:
		m.policy = w.policy
		m.at = map[phase]step{waiting: readDatastore, preparing: readDatastore, released: readJob, finished: readDatastore, over: begin}[m.policy.phase]
		if m.policy.phase == over {
			return
		}
	case readDatastore:
		m.ds = w.ds
		switch {
		case m.policy.phase == finished && !m.holds():
			m.at = storeNext
		case m.policy.phase == finished:
			m.at = giveBack
		case m.policy.phase == waiting && m.ds.run != nobody && !m.holds():
			m.at = begin
		case m.policy.phase == waiting && !m.holds():
			m.at = confirmWaiting
		default:
			m.at = listHolds
		}
	case confirmWaiting:
		m.at = listHolds
		if m.policy != w.policy {
			m.at = begin
		}
	case listHolds:
		m.listed = w.created
		switch {
		case m.policy.phase == waiting && !m.holds():
			m.at = take
		case m.policy.phase == waiting:
			m.at = storePlan
		case planOf(m.listed) != m.policy.plan && !bad.noGate:
			m.at = storePlan
		default:
			m.at = makeJob
		}
	case take:
		st := m.ds.status()
		st.ActiveRun = &retentionv1.ActiveRun{Name: string(rune('0' + m.policy.run)), Holds: list(m.listed)}
		if w.patchDatastore(m, st, bad) {
			m.at = compile
		}
	case compile:
		m.listed = w.created
		m.at = storePlan
	case storePlan:
		w.store(m, entry{run: m.policy.run, phase: preparing, plan: planOf(m.listed)})
	case makeJob:
		if j := w.jobOf(m.policy); !j.exists {
			*j = job{version: 1, exists: true, suspended: true}
		}
		m.at = storeReleased
	case storeReleased:
		w.store(m, entry{run: m.policy.run, phase: released, plan: m.policy.plan})
	default:
		w.supervise(m, bad)
	}
	yield(w)
}

// supervise are the steps of a pass over an entry that is on record as released, and of giving the Datastore back.
func (w *world) supervise(m *manager, bad defects) {
	switch m.at {
	case readJob:
		m.job = *w.jobOf(m.policy)
		switch {
		case m.job.done || m.job.mark == halted:
			m.at = collect
		case m.job.suspended:
			m.at = gatePolicy
		default:
			m.at = watchDatastore
		}
	case gatePolicy:
		m.at = gateDatastore
		if e := w.policy; e.run != m.policy.run || e.phase != released || e.plan != m.policy.plan {
			m.at = begin
		}
	case gateDatastore:
		m.ds = w.ds
		m.at = gateHolds
		if !m.holds() {
			w.store(m, entry{run: m.policy.run, phase: finished, plan: m.policy.plan})
		}
	case gateHolds:
		m.listed = w.created
		switch {
		case planOf(m.listed) != m.policy.plan && !bad.noGate:
			m.at = replaceJob
		case m.job.mark != unmarked:
			w.store(m, entry{run: m.policy.run, phase: finished, plan: m.policy.plan})
		default:
			m.at = recordHolds
		}
	case replaceJob:
		if j := w.jobOf(m.policy); m.job.mark == unmarked && !bad.noMark {
			if j.version != m.job.version {
				m.at = begin
				return
			}
			j.mark = replaced
			j.version++
		}
		m.at = storePlan
	case recordHolds:
		st := m.ds.status()
		if m.at = unsuspend; Record(st.ActiveRun, list(m.listed)) && !w.patchDatastore(m, st, bad) {
			return
		}
	case unsuspend:
		if j := w.jobOf(m.policy); j.version == m.job.version {
			j.suspended, j.due = false, true
			j.version++
		}
		m.at = begin
	default:
		w.oversee(m, bad)
	}
}

// oversee are the steps while the Job is at work, and after it.
func (w *world) oversee(m *manager, bad defects) {
	switch m.at {
	case watchDatastore:
		m.ds = w.ds
		if m.at = watchHolds; !m.holds() {
			m.at = halt
		}
	case watchHolds:
		m.listed = w.created
		touched := func([]string) bool { return m.policy.plan == 0 }
		m.at = map[Reaction]step{GoOn: begin, Accept: watchPolicy, Halt: halt}[React(m.ds.status().ActiveRun, list(m.listed), touched)]
	case watchPolicy:
		m.at = acknowledge
		if e := w.policy; e.run != m.policy.run || e.phase != released || e.plan != m.policy.plan {
			m.at = begin
		}
	case acknowledge:
		st := m.ds.status()
		Record(st.ActiveRun, list(m.listed))
		w.patchDatastore(m, st, bad)
		m.at = begin
	case halt:
		if j := w.jobOf(m.policy); j.version == m.job.version {
			j.suspended, j.mark = true, halted
			j.version++
		}
		m.at = begin
	case collect:
		if j := w.jobOf(m.policy); bad.noPatience || !j.running && (!j.due || j.done) {
			w.store(m, entry{run: m.policy.run, phase: finished, plan: m.policy.plan})
		}
		m.at = begin
	case giveBack:
		st := m.ds.status()
		st.ActiveRun = nil
		if w.patchDatastore(m, st, bad) {
			m.at = storeNext
		}
	case storeNext:
		e := entry{run: m.policy.run + 1, phase: waiting}
		if e.run == runs {
			e = entry{run: m.policy.run, phase: over, plan: m.policy.plan}
		}
		w.store(m, e)
	}
}

// canonical makes worlds equal that behave alike: of a version only matters whether it is the current one, a manager between
// two passes remembers nothing, and which manager is which does not matter.
func (w world) canonical() world {
	version := func(local *uint8, current uint8) {
		if *local == current {
			*local = 0
		} else {
			*local = stale
		}
	}
	for i := range w.managers {
		m := &w.managers[i]
		if m.at == begin {
			*m = manager{}
			continue
		}
		version(&m.job.version, w.jobOf(m.policy).version)
		version(&m.policy.version, w.policy.version)
		version(&m.ds.version, w.ds.version)
	}
	if w.hold.at == begin || w.enforced {
		w.hold = controller{}
	} else {
		version(&w.hold.ds.version, w.ds.version)
	}
	for run := range w.jobs {
		for p := range w.jobs[run] {
			w.jobs[run][p].version = 0
		}
	}
	w.ds.version, w.policy.version = 0, 0
	for i := range w.managers[1:] { // two of them
		if a, b := &w.managers[i], &w.managers[i+1]; a.at > b.at {
			*a, *b = *b, *a
		}
	}
	return w
}

// stale is the version of what has been written since it was read.
const stale = 255

// search is what explore has found.
type search struct {
	worlds, enforced int
	// violated says that a world violates what Enforced promises.
	violated bool
	// stuck is how many worlds have the hold and lead to none in which it is enforced.
	stuck int
}

// explore visits every world that can be reached.
func explore(bad defects) search {
	all := []world{(world{ds: datastore{run: nobody}}).canonical()}
	place := map[world]int32{all[0]: 0}
	before := [][]int32{nil} // the worlds that one step leads from
	for i := int32(0); int(i) < len(all); i++ {
		if all[i].violated() {
			return search{worlds: int(i), violated: true}
		}
		all[i].next(bad, func(n world) {
			n = n.canonical()
			j, known := place[n]
			if !known {
				j = int32(len(all)) // a million, no more
				place[n] = j
				all, before = append(all, n), append(before, nil)
			}
			before[j] = append(before[j], i)
		})
	}
	s := search{worlds: len(all)}
	leads := make([]bool, len(all))
	var queue []int32
	for i := range all {
		if all[i].enforced {
			s.enforced++
			leads[i] = true
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		i := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, j := range before[i] {
			if !leads[j] {
				leads[j] = true
				queue = append(queue, j)
			}
		}
	}
	for i := range all {
		if all[i].created && !leads[i] {
			s.stuck++
		}
	}
	return s
}

// TestNoRunOvertakesAHold visits every order of the steps: from the moment that a hold is enforced, no Pod can delete what it
// keeps; and nothing keeps a hold from being enforced in the end.
func TestNoRunOvertakesAHold(t *testing.T) {
	s := explore(defects{})
	t.Logf("%d worlds, the hold is enforced in %d", s.worlds, s.enforced)
	if s.violated {
		t.Error("a Pod can delete what an enforced hold keeps")
	}
	if s.enforced == 0 || s.stuck > 0 {
		t.Errorf("in %d worlds the hold can never be enforced", s.stuck)
	}
}

// TestTheSearchFindsEveryDefect takes one part of the protocol away at a time.
func TestTheSearchFindsEveryDefect(t *testing.T) {
	for name, bad := range map[string]defects{
		"the hold does not look for a run":                {noLook: true},
		"the gate does not list the holds":                {noGate: true},
		"the Datastore is written without its version":    {noFence: true},
		"a Job that is replaced is not marked":            {noMark: true},
		"the Datastore is given back before the Pod ends": {noPatience: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := explore(bad)
			t.Logf("%d worlds", s.worlds)
			if !s.violated {
				t.Error("not found")
			}
		})
	}
}
