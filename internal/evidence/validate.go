// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
)

var (
	hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	reference = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// errLevel marks the errors of Validate that are about a level, for its own Code.
var errLevel = errors.New("the level does not fit")

// Validate says why a statement is none: what its kind needs or must not have, bounds of strings, lists and times, and levels
// that its parts do not bear. What it accepts need not be true, but it does not contradict itself.
func (s *Statement) Validate() error {
	if s.Type != StatementType {
		return fmt.Errorf("the statement's type is %q, not %q", s.Type, StatementType)
	}
	if s.PredicateType != PredicateType {
		return fmt.Errorf("the predicate's type is %q, not %q", s.PredicateType, PredicateType)
	}
	if err := validSubjects(s.Subject); err != nil {
		return err
	}
	p := &s.Predicate
	if err := bounded(reflect.ValueOf(p).Elem(), "", ""); err != nil {
		return err
	}
	for _, check := range []func(*Predicate) error{validHead, validReferences, validSets, validKind, validLevels, validTimes} {
		if err := check(p); err != nil {
			return err
		}
	}
	return nil
}

func validSubjects(subjects []Subject) error {
	if len(subjects) == 0 || len(subjects) > MaxItems {
		return fmt.Errorf("the statement has %d subjects, not 1 to %d", len(subjects), MaxItems)
	}
	seen := map[string]bool{}
	for _, sub := range subjects {
		if err := boundedString(sub.Name, "subject.name", "name"); err != nil {
			return err
		}
		switch {
		case sub.Name == "" || seen[sub.Name]:
			return fmt.Errorf("the subject %q has no name, or one that another has too", sub.Name)
		case len(sub.Digest) != 1 || !hexDigest.MatchString(sub.Digest["sha256"]):
			return fmt.Errorf("the subject %q has no SHA-256 digest, or something else", sub.Name)
		}
		seen[sub.Name] = true
	}
	return nil
}

func validHead(p *Predicate) error {
	switch {
	case p.Key == "" || len(p.Key) > 1024 || strings.ContainsAny(p.Key, "\n\t"):
		return fmt.Errorf("the key %q is not one of 1 to 1024 bytes in one line", p.Key)
	case p.Operator.Version == "":
		return errors.New("operator.version is missing")
	case !p.RetainUntil.After(p.Time):
		return errors.New("retainUntil is not after time")
	}
	return nil
}

func validReferences(p *Predicate) error {
	refs := p.Results
	if p.Closes != nil {
		refs = append([]Reference{*p.Closes}, refs...)
	}
	for _, r := range refs {
		if !reference.MatchString(r.Digest) {
			return fmt.Errorf("the reference to entry %d has no digest of the form sha256:…", r.Index)
		}
	}
	seen := map[int64]bool{}
	for _, r := range p.Results {
		if r.Kind != Result && r.Kind != Conclusion {
			return fmt.Errorf("results has an entry of kind %s", r.Kind)
		}
		if seen[r.Index] {
			return fmt.Errorf("results has entry %d twice", r.Index)
		}
		seen[r.Index] = true
	}
	return nil
}

// methods and gaps are the closed sets of which no rule asks otherwise.
var (
	methods = []Method{"", MethodDelete, MethodDropPartition, MethodAnonymize, MethodRetain}
	gaps    = []GapKind{GapDatastore, GapDataset, GapBackup, GapRecipient, GapEngine, GapNamespace}
)

func validSets(p *Predicate) error {
	for i := range p.Datastores {
		for k := range p.Datastores[i].Datasets {
			if ds := &p.Datastores[i].Datasets[k]; !slices.Contains(methods, ds.Method) {
				return fmt.Errorf("dataset %s has the method %q", ds.Name, ds.Method)
			}
		}
	}
	for i := range p.NotCovered {
		if g := &p.NotCovered[i]; !slices.Contains(gaps, g.Kind) {
			return fmt.Errorf("notCovered has the kind %q", g.Kind)
		}
	}
	return nil
}

func validTimes(p *Predicate) error {
	switch {
	case p.Level == LevelNone && (p.LogicallyDeletedTime != nil || p.GoneBy != nil):
		return fmt.Errorf("%s says when something was deleted, or is gone from backups", article(p.Kind))
	case p.LogicallyDeletedTime != nil && p.GoneBy != nil && p.GoneBy.Before(*p.LogicallyDeletedTime):
		return errors.New("goneBy is before logicallyDeletedTime")
	}
	return nil
}

// rule says what a kind of statement has to have.
type rule struct {
	closes   []Kind // nil: none
	required bool   // closes is
	none     bool   // the level is None
	check    func(p *Predicate) error
}

var rules = map[Kind]rule{
	Intent:         {none: true, check: validIntent},
	Result:         {closes: []Kind{Intent}, required: true, check: validResult},
	Conclusion:     {closes: []Kind{Conclusion}, check: validConclusion},
	BackupsExpired: {closes: []Kind{Result, Conclusion}, required: true, check: validExpiry},
	HoldEnforced:   {none: true, check: validHold},
	HoldReleased:   {closes: []Kind{HoldEnforced}, none: true, check: validHold},
	Pruned:         {none: true, check: validPruned},
}

func validKind(p *Predicate) error {
	r, ok := rules[p.Kind]
	switch {
	case !ok:
		return fmt.Errorf("there is no kind %q of statement", p.Kind)
	case r.required && p.Closes == nil:
		return fmt.Errorf("%s does not say which statement it closes", article(p.Kind))
	case p.Closes != nil && !slices.Contains(r.closes, p.Closes.Kind):
		return fmt.Errorf("%s does not close %s", article(p.Kind), article(p.Closes.Kind))
	case p.Kind != Conclusion && len(p.Results) > 0:
		return fmt.Errorf("%s has results", article(p.Kind))
	case (p.Kind == Pruned) != (p.Pruned != nil):
		return fmt.Errorf("%s has pruned, or has it not", article(p.Kind))
	}
	return r.check(p)
}

func validIntent(p *Predicate) error {
	if err := validExecution(p); err != nil {
		return err
	}
	d := &p.Datastores[0]
	for i := range d.Datasets {
		if ds := &d.Datasets[i]; ds.changed() || ds.Deleted != nil || ds.Anonymized != nil || ds.Remaining != nil {
			return fmt.Errorf("an Intent says what was done in dataset %s", ds.Name)
		}
	}
	if d.Level != "" && d.Level != LevelNone {
		return fmt.Errorf("%w: that of an Intent's Datastore is %s", errLevel, d.Level)
	}
	return nil
}

func validResult(p *Predicate) error {
	if err := validExecution(p); err != nil {
		return err
	}
	if p.Run.Mode == ModeSimulate && (p.Level == LevelDeleted || p.Level == LevelAnonymized) {
		return fmt.Errorf("%w: a run that only looks proves no deletion", errLevel)
	}
	return nil
}

// validExecution checks what Intents and Results have in common: one Job on one Datastore.
func validExecution(p *Predicate) error {
	switch {
	case p.Run == nil || p.Run.Name == "":
		return fmt.Errorf("%s has no run", article(p.Kind))
	case p.Run.Mode != ModeEnforce && p.Run.Mode != ModeSimulate:
		return fmt.Errorf("run.mode is %q, neither %s nor %s", p.Run.Mode, ModeEnforce, ModeSimulate)
	case len(p.Datastores) != 1:
		return fmt.Errorf("%s is about one Datastore, and this one has %d", article(p.Kind), len(p.Datastores))
	case p.Datastores[0].Name == "":
		return errors.New("the Datastore has no name")
	}
	return nil
}

func validConclusion(p *Predicate) error {
	if (p.Policy == nil) == (p.Request == nil) {
		return errors.New("a Conclusion is about either a policy or a request")
	}
	return nil
}

func validExpiry(p *Predicate) error {
	switch {
	case p.Key != p.Closes.Digest:
		return errors.New("the key is not the digest of the statement whose backups have expired")
	case p.GoneBy != nil && p.GoneBy.After(p.Time):
		return errors.New("backups are said to have expired before goneBy")
	}
	return nil
}

func validHold(p *Predicate) error {
	switch {
	case p.Hold == nil || p.Hold.Name == "":
		return fmt.Errorf("%s names no hold", article(p.Kind))
	case p.Kind == HoldEnforced && p.Hold.EnforcedTime == nil:
		return errors.New("hold.enforcedTime is missing")
	case p.Kind == HoldReleased && p.Hold.ReleasedTime == nil:
		return errors.New("hold.releasedTime is missing")
	}
	return nil
}

func validPruned(p *Predicate) error {
	switch {
	case len(p.Pruned.Indices) == 0:
		return errors.New("a Pruned statement names no entry")
	case p.Pruned.Before.After(p.Time):
		return errors.New("pruned.before is after time")
	}
	for i, n := range p.Pruned.Indices {
		if i > 0 && n <= p.Pruned.Indices[i-1] {
			return errors.New("pruned.indices are not in ascending order, or have one twice")
		}
	}
	return nil
}

// article writes a kind for a sentence.
func article(k Kind) string {
	if k == Intent {
		return "an " + string(k)
	}
	return "a " + string(k) + " statement"
}
