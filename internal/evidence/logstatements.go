// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"errors"
	"io/fs"
	"time"
)

// statement reads and verifies the statement of entry i. It returns nil if the statement is gone, or is not what the entry
// says; whether it may be gone is known at the end (finish).
func (v *logVerifier) statement(i int64, l *Leaf, raw []byte) *Statement {
	if !reference.MatchString(l.Statement) {
		v.found(i, problem(CodeLeaf, "entry %d has no digest of a statement", i))
		return nil
	}
	b, err := readFile(v.export, ExportStatement(l.Statement), MaxEnvelope)
	if errors.Is(err, fs.ErrNotExist) {
		v.seen[i].missing = true
		return nil
	}
	if err != nil {
		v.found(i, problem(CodeStatementMissing, "the statement of entry %d cannot be read: %v", i, err))
		return nil
	}
	e := &Envelope{}
	if p := decode(b, MaxEnvelope, e, "the statement's envelope"); p != nil {
		v.found(i, p)
		return nil
	}
	signature, p := sameDigests(i, l, e)
	if p != nil {
		v.found(i, p)
		return nil
	}
	s, payload, _, p := openValid(e, v.trust)
	if p != nil {
		v.found(i, p)
		return nil
	}
	if encoded, err := leafOf(s, payload, signature).Encode(); err != nil || !bytes.Equal(encoded, raw) {
		v.found(i, problem(CodeLeaf, "entry %d does not say what follows from its statement", i))
		return nil
	}
	return s
}

// sameDigests checks that an envelope has the statement and the signature that the entry names, and returns the latter.
func sameDigests(i int64, l *Leaf, e *Envelope) ([]byte, *Problem) {
	payload, signature, p := parts(e)
	switch {
	case p != nil:
		return nil, p
	case DigestOf(payload) != l.Statement:
		return nil, problem(CodeStatementChanged, "the statement of entry %d was changed, or is another one", i)
	case DigestOf(signature) != l.Signature:
		return nil, problem(CodeSignatureSwapped, "the statement of entry %d has another signature than it had when it was logged", i)
	}
	return signature, nil
}

// remember keeps what later entries are compared with.
func (v *logVerifier) remember(i int64, l *Leaf, s *Statement) {
	if s == nil {
		return
	}
	switch l.Kind {
	case Conclusion:
		v.owner[i] = ownerOf(s)
		v.restsOn(i, s)
	case Pruned:
		v.prune(i, s)
	}
}

// ownerOf is the UID of the policy or request that a Conclusion is about.
func ownerOf(s *Statement) string {
	switch p := &s.Predicate; {
	case p.Policy != nil:
		return p.Policy.UID
	case p.Request != nil:
		return p.Request.UID
	}
	return ""
}

// restsOn checks the Results of a Conclusion: that they are there, and that at least one of them did anything if something is
// said to be deleted.
func (v *logVerifier) restsOn(i int64, s *Statement) {
	notDone := len(s.Predicate.Results) > 0
	for k := range s.Predicate.Results {
		r := &s.Predicate.Results[k]
		if !v.refers(i, r) || v.seen[r.Index].level != LevelNotDone {
			notDone = false
		}
	}
	if l := s.Predicate.Level; notDone && (l == LevelDeleted || l == LevelAnonymized) {
		v.found(i, problem(CodeLevel, "entry %d claims %s, and all Results that it rests on say that nothing was done", i, l))
	}
}

// prune checks what a Pruned statement says was removed.
func (v *logVerifier) prune(i int64, s *Statement) {
	for _, n := range s.Predicate.Pruned.Indices {
		switch {
		case n >= i:
			v.found(i, problem(CodePruned, "entry %d says that the statement of entry %d was removed, which does not come before it", i, n))
		case v.seen[n].kind == Pruned:
			v.found(i, problem(CodePruned, "entry %d says that the statement of entry %d was removed, which itself says what was removed", i, n))
		case v.seen[n].retainUntil.After(s.Predicate.Pruned.Before):
			v.found(i, problem(CodePruned, "entry %d says that the statement of entry %d was removed, which was to be kept until %s", i, n, v.seen[n].retainUntil.Format(time.RFC3339)))
		default:
			v.pruned[n] = i
		}
	}
}

// finish checks what can be told only once all entries are known.
func (v *logVerifier) finish() {
	for n := range v.seen {
		i, e := int64(n), &v.seen[n]
		switch _, pruned := v.pruned[i]; {
		case e.missing && pruned:
			v.report.Pruned = append(v.report.Pruned, i)
		case e.missing:
			v.found(i, problem(CodeStatementMissing, "the statement of entry %d is gone, and nothing says that it was to be removed", i))
		}
		if e.kind != Intent || e.closed {
			continue
		}
		v.report.Dangling = append(v.report.Dangling, i)
		if o := v.options; o.DanglingAfter > 0 && o.Now.Sub(e.time) > o.DanglingAfter {
			v.found(i, problem(CodeDangling, "the Intent in entry %d, of %s, has no Result: nobody knows what came of it", i, e.time.Format(time.RFC3339)))
		}
	}
}
