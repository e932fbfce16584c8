// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"crypto/rand"
	"encoding/json"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
)

// record is a record of a dataset: the identifiers that it carries, and the number of the customer whom it refers to.
type record struct {
	dataset  string
	ids      map[string]string
	customer string
}

// podEnd is how a Pod ends.
type podEnd struct {
	code    int32
	message []byte
}

// process is a purge process with a database in memory: it reads its plan and its identifiers as a Pod finds them, and
// leaves a receipt and an account.
type process struct {
	w    *world
	job  *batchv1.Job
	plan plan.Plan
	ds   string
	out  strings.Builder
	sum  receipt.AccountSum
	r    *receipt.Receipt
	// given and derived are the identifiers of the requests, by their place in the plan.
	given, derived [][]subject.Identifier
}

func (w *world) process(job *batchv1.Job, pod string, attempt int) podEnd {
	w.t.Helper()
	p := &process{w: w, job: job, ds: job.Labels[purgejob.LabelDatastore]}
	configMap := &corev1.ConfigMap{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: job.Namespace, Name: job.Name}, configMap))
	w.must(json.Unmarshal([]byte(configMap.Data["plan.json"]), &p.plan))
	now := w.clock.Now().UTC()
	p.r = &receipt.Receipt{Phase: receipt.PhaseFinished, Reason: receipt.Succeeded, Message: w.says, StartTime: now, Time: now, ServerVersion: "15.18", Identity: p.plan.Identity,
		Version: receipt.Version, Run: p.plan.Run, PlanDigest: job.Annotations[purgejob.AnnotationPlanDigest]}
	if w.broken[p.ds] {
		p.r.Phase, p.r.Reason, p.r.Identity, p.r.ServerVersion = receipt.PhaseConnecting, receipt.Unreachable, "", ""
		return p.end(receipt.ExitUnavailable)
	}
	persons, problems := p.persons()
	p.given = slices.Clone(persons)
	for i := range persons {
		persons[i] = subject.Union(persons[i], p.derived[i])
		if w.commits && !subject.Agree(p.plan.Erasure.Requests[i].Commitments, p.given[i]) {
			problems[i] = receipt.SubjectUnreadable
		}
		if problems[i] == "" && len(persons[i]) == 0 {
			problems[i] = receipt.SubjectUnreadable
		}
	}
	if p.plan.Kind == plan.Intake {
		p.tell(receipt.Line{Kind: receipt.LinePersons, Persons: []receipt.Person{{Problem: problems[0], Given: subject.Format(persons[0])}}})
	} else {
		dies := w.dies[p.ds] > attempt && p.plan.Mode == plan.Enforce
		if !p.erase(persons, problems, dies) {
			p.r.Phase, p.r.Reason = receipt.PhasePurging, ""
			p.keepLog(pod)
			return p.end(137)
		}
	}
	if w.evicted[p.ds] && attempt == 0 && p.plan.Mode == plan.Enforce {
		p.r.Phase, p.r.Reason = receipt.PhasePurging, receipt.Interrupted
		p.keepLog(pod)
		return p.end(receipt.ExitInterrupted)
	}
	p.tell(receipt.Line{Kind: receipt.LineFinished})
	p.keepLog(pod)
	return p.end(receipt.ExitDone)
}

func (p *process) keepLog(pod string) {
	if p.w.forget && p.plan.Mode == plan.Enforce && p.plan.Kind == plan.ErasureKind {
		return
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	p.w.logs[pod] = `{"msg":"starting"}` + "\n" + p.out.String()
}

func (p *process) end(code receipt.ExitCode) podEnd {
	if p.sum.Lines > 0 {
		p.r.Account = &p.sum
	}
	b, err := receipt.Encode(p.r)
	p.w.must(err)
	return podEnd{int32(code), b}
}

func (p *process) tell(line receipt.Line) {
	text, err := json.Marshal(line)
	p.w.must(err)
	sealed, err := seal.Seal(p.plan.Erasure.SealTo, text)
	p.w.must(err)
	p.sum = p.sum.Next(sealed)
	b, err := json.Marshal(map[string]any{"msg": receipt.AccountMessage, "seq": p.sum.Lines, "sealed": sealed})
	p.w.must(err)
	p.out.Write(append(b, '\n'))
}

// persons reads the identifiers as the Pod's volumes project them.
func (p *process) persons() ([][]subject.Identifier, []receipt.Reason) {
	n := len(p.plan.Erasure.Requests)
	persons, problems := make([][]subject.Identifier, n), make([]receipt.Reason, n)
	carried := &corev1.Secret{}
	for _, v := range p.job.Spec.Template.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			if source.Secret == nil {
				continue
			}
			secret := &corev1.Secret{}
			err := p.w.c.Get(p.w.t.Context(), client.ObjectKey{Namespace: p.job.Namespace, Name: source.Secret.Name}, secret)
			if client.IgnoreNotFound(err) != nil {
				p.w.t.Fatal(err)
			}
			switch v.Name {
			case "carried":
				p.w.must(err) // a Pod waits for it; here it must be there
				carried = secret
			case "subjects":
				for _, item := range source.Secret.Items {
					number, kind, _ := strings.Cut(item.Path, "/")
					for value := range strings.FieldsSeq(string(secret.Data[item.Key])) {
						i := int(number[0] - '0')
						persons[i] = append(persons[i], subject.Identifier{Type: kind, Value: value})
					}
				}
			}
		}
	}
	for i := range persons {
		if ids, err := subject.Parse(carried.Data[purgejob.GivenKey(i)]); err == nil {
			persons[i] = subject.Union(persons[i], ids)
		}
		ids, _ := subject.Parse(carried.Data[purgejob.DerivedKey(i)])
		p.derived = append(p.derived, ids)
	}
	return persons, problems
}

// belongs says whether a record belongs to the person with the identifiers.
func belongs(r record, ids []subject.Identifier) bool {
	return slices.ContainsFunc(ids, func(id subject.Identifier) bool {
		return r.ids[id.Type] == id.Value || r.customer != "" && id.Type == "customer_id" && r.customer == id.Value
	})
}

// erase does what the plan asks for, and returns false if the process dies on the way.
func (p *process) erase(persons [][]subject.Identifier, problems []receipt.Reason, dies bool) bool {
	w, e := p.w, p.plan.Erasure
	var people []receipt.Person
	for i := range persons {
		person := receipt.Person{Request: i, Problem: problems[i], Types: subject.Types(persons[i])}
		given := p.given[i]
		for grown := true; grown && person.Problem == ""; {
			grown = false
			for _, r := range w.records[p.ds] {
				if !belongs(r, persons[i]) {
					continue
				}
				for kind, value := range r.ids {
					id := subject.Identifier{Type: kind, Value: value}
					switch {
					case slices.Contains(persons[i], id):
					case slices.ContainsFunc(given, func(g subject.Identifier) bool { return g.Type == kind }):
						person.Problem = receipt.IdentifiersDisagree
					default:
						persons[i] = subject.Union(persons[i], []subject.Identifier{id})
						person.Derived += subject.Format([]subject.Identifier{id})
						grown = true
					}
				}
			}
		}
		if e.Requests[i].Commit && person.Problem == "" {
			person.Commitments = []string{"email:$argon2id$test"}
			if w.commits {
				var err error
				person.Commitments, err = subject.CommitAll(rand.Reader, subject.Union(p.given[i], nil))
				w.must(err)
			}
		}
		if problems[i] = person.Problem; person.Problem != "" {
			person.Derived = ""
		}
		people = append(people, person)
	}
	p.tell(receipt.Line{Kind: receipt.LinePersons, Persons: people})
	found := make([][]int64, len(e.Steps))
	for s := range e.Steps {
		found[s] = make([]int64, len(persons))
		line := receipt.Line{Kind: receipt.LineFound, Step: s, Pass: 1}
		for i := range persons {
			for _, r := range w.records[p.ds] {
				if problems[i] == "" && r.dataset == e.Steps[s].Dataset && belongs(r, persons[i]) {
					found[s][i]++
				}
			}
			if found[s][i] > 0 {
				line.Numbers = append(line.Numbers, receipt.Numbers{Request: i, N: found[s][i]})
			}
		}
		p.tell(line)
	}
	if p.plan.Mode == plan.Simulate {
		return true
	}
	return p.change(persons, problems, found, dies)
}

func (p *process) change(persons [][]subject.Identifier, problems []receipt.Reason, found [][]int64, dies bool) bool {
	w, e := p.w, p.plan.Erasure
	for s := range e.Steps {
		step := &e.Steps[s]
		left := receipt.Line{Kind: receipt.LineLeft, Step: s, Pass: 1}
		flight := receipt.Line{Kind: receipt.LineFlight, Step: s, Pass: 1}
		var total int64
		for i := range persons {
			if n := found[s][i]; n > 0 && step.Acts() {
				flight.Numbers = append(flight.Numbers, receipt.Numbers{Request: i, N: n})
				total += n
			} else if n > 0 && len(step.HeldBy) > 0 {
				left.Numbers = append(left.Numbers, receipt.Numbers{Request: i, Held: n})
			} else if n > 0 {
				left.Numbers = append(left.Numbers, receipt.Numbers{Request: i, Retained: n})
			}
		}
		if total > 0 {
			p.tell(flight)
			w.erased[p.job.Name] += int(total)
			w.records[p.ds] = slices.DeleteFunc(w.records[p.ds], func(r record) bool {
				for i := range persons {
					if r.dataset == step.Dataset && problems[i] == "" && belongs(r, persons[i]) {
						return true
					}
				}
				return false
			})
			if dies {
				p.r.Steps = append(p.r.Steps, receipt.Step{Index: s, InFlight: total})
				return false
			}
			p.tell(receipt.Line{Kind: receipt.LineCommitted, Step: s})
		}
		p.tell(left)
		p.r.Steps = append(p.r.Steps, receipt.Step{Index: s, Counted: true, Matched: total, Deleted: total, Verified: true, Reason: receipt.Succeeded})
	}
	return true
}

// shop fills two Datastores: the shop knows customers by e-mail and number, the desk by number only.
func (w *world) shop() {
	w.datastore("shop", customers(), nil)
	w.datastore("desk", tickets(), nil)
	w.fill()
}

const (
	ada, adaID = "ada@example.com", "c-4711"
	bob, bobID = "bob@example.com", "c-4712"
)

func (w *world) fill() {
	w.records["shop"] = []record{
		{dataset: "customer", ids: map[string]string{"email": ada, "customer_id": adaID}},
		{dataset: "orders", customer: adaID}, {dataset: "orders", customer: adaID},
		{dataset: "customer", ids: map[string]string{"email": bob, "customer_id": bobID}},
		{dataset: "orders", customer: bobID},
	}
	w.records["desk"] = []record{
		{dataset: "ticket", ids: map[string]string{"customer_id": adaID}},
		{dataset: "ticket", ids: map[string]string{"customer_id": bobID}},
	}
}

// left counts the records of a person in all Datastores.
func (w *world) left(email, number string) int {
	n := 0
	for _, records := range w.records {
		for _, r := range records {
			if r.ids["email"] == email || r.ids["customer_id"] == number || r.customer == number {
				n++
			}
		}
	}
	return n
}

func entry(r *retentionv1.ErasureRequest, name string) retentionv1.ErasureDatastore {
	for _, e := range r.Status.Datastores {
		if e.Name == name {
			return e
		}
	}
	return retentionv1.ErasureDatastore{}
}
