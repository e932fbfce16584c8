// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// render returns the plan as a text for a person: what is done under which rule and why, and what is left out and why.
// It ends with a newline.
func render(p Plan) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	switch p.Kind {
	case Probe:
		renderProbe(p, line)
		return b.String()
	case ErasureKind, CountHeld, Intake:
		line("%s in datastore %s (%s) at the slot %s", p.Kind, p.Datastore.title(), p.Engine, stamp(p.Slot))
		renderErasure(p, line)
		renderRest(p, line)
		return b.String()
	}
	line("Policy %s on datastore %s (%s)", p.Policy.title(), p.Datastore.title(), p.Engine)
	line("%s at the slot %s; dates and timestamps without a zone are read in %s.", p.Mode, stamp(p.Slot), p.TimeZone)
	if p.Guardrails.MaxRecords > 0 {
		line("Guardrail: at most %d records.", p.Guardrails.MaxRecords)
	}
	if p.Guardrails.MaxPercent > 0 {
		line("Guardrail: at most %d%% of any dataset.", p.Guardrails.MaxPercent)
	}
	if len(p.Steps) == 0 {
		line("\nNothing is done.")
	}
	for i, s := range p.Steps {
		line("")
		renderStep(i+1, s, line)
	}
	renderRest(p, line)
	return b.String()
}

// renderRest is what stands in a plan beside its steps.
func renderRest(p Plan, line func(string, ...any)) {
	for _, h := range p.Holds {
		line("\nHold %s (%s) keeps records of %s.", h.Name, h.what(), strings.Join(h.Datasets, ", "))
	}
	if len(p.Excluded) > 0 {
		line("\nLeft out:")
	}
	for _, e := range p.Excluded {
		line("  %s%s%s: %s", mark(e.Problem()), about(e.Dataset, e.Rule), e.Reason, e.Message)
	}
	if len(p.Notes) > 0 {
		line("\nNotes:")
	}
	for _, n := range p.Notes {
		line("  %s%s%s: %s", mark(n.Problem()), about(n.Dataset, n.Rule), n.Code, n.Message)
	}
	var protected, held []string
	for _, d := range p.Datasets {
		if d.Protected {
			protected = append(protected, d.Name)
		}
		if d.Held {
			held = append(held, d.Name)
		}
	}
	if protected != nil {
		line("\nProtected from side effects: %s.", strings.Join(protected, ", "))
	}
	if held != nil {
		line("Held: %s.", strings.Join(held, ", "))
	}
}

// what says which records a hold keeps.
func (h Hold) what() string {
	if c := h.Condition; c != nil {
		return strings.TrimSpace(fmt.Sprintf("where %s %s %s", c.Field, c.Operator, strings.Join(c.Values, ", ")))
	}
	return fmt.Sprintf("of a person: %v", h.Subject)
}

func renderErasure(p Plan, line func(string, ...any)) {
	e := p.Erasure
	if e == nil {
		return
	}
	line("%s, sealed to %s.", cmp.Or(p.Mode, "No mode"), e.SealTo)
	for i, r := range e.Requests {
		line("Request %d: %s, commit %v.", i, r.title(), r.Commit)
	}
	line("Identifiers: %s.", strings.Join(e.Types, ", "))
	for i, s := range e.Steps {
		line("\n%d. %s %s%s", i+1, s.Action, named(s.Dataset, s.Path), basis(s.LegalBasis))
		for _, t := range s.Transforms {
			line("   Rewrites %s.", t)
		}
		for _, o := range s.Obligations {
			line("   Keeps all but %s", o.sentence(s.Dataset))
		}
		if s.Unclear != "" {
			line("   Unclear: %s.", s.Unclear)
		}
		if s.HeldBy != nil {
			line("   Held by %s.", strings.Join(s.HeldBy, ", "))
		}
		if !s.Acts() {
			line("   Nothing changes.")
		}
	}
}

func (o Obligation) sentence(dataset string) string {
	return fmt.Sprintf("%s ≤ %s: rule %s of policy %s retains for %s%s.", from(dataset, o.Start), stamp(o.Cutoff),
		o.Rule, o.Policy, o.Period, basis(o.LegalBasis))
}

func renderStep(number int, s Step, line func(string, ...any)) {
	line("%d. %s %s where %s ≤ %s", number, s.Action, named(s.Dataset, s.Path), from(s.Dataset, s.Start), stamp(s.Cutoff))
	line("   %s after %s: %s.", s.Action, s.Period, s.Reason)
	for _, t := range s.Transforms {
		line("   Rewrites %s.", t)
	}
	for _, o := range s.Obligations {
		line("   Keeps all but %s", o.sentence(s.Dataset))
	}
	if s.LegalBasis != "" {
		line("   Legal basis: %s.", s.LegalBasis)
	}
}

func renderProbe(p Plan, line func(string, ...any)) {
	line("Probe of datastore %s (%s); dates and timestamps without a zone are read in %s.", p.Datastore.title(), p.Engine, p.TimeZone)
	for _, d := range p.Datasets {
		s := "  " + named(d.Name, d.Path)
		if d.TimestampField != "" {
			s += fmt.Sprintf(", timestamp %s (%s)", d.TimestampField, d.TimestampFormat)
		}
		if d.Fields != nil {
			s += ", fields " + strings.Join(d.Fields, ", ")
		}
		for i, right := range d.Rights {
			s += []string{", rights ", ", "}[min(i, 1)] + string(right)
		}
		if d.Protected {
			s += ", protected"
		}
		line("%s", s)
	}
}

// String says what a Transform does to its field.
func (t Transform) String() string {
	switch t.With {
	case MethodConstant:
		return fmt.Sprintf("%s with %s %q", t.Field, t.With, t.Value)
	case MethodTruncateDate:
		return fmt.Sprintf("%s with %s to the %s", t.Field, t.With, strings.ToLower(t.Unit))
	}
	return fmt.Sprintf("%s with %s", t.Field, t.With)
}

func (r Ref) title() string {
	if r.Generation == 0 {
		return r.Namespace + "/" + r.Name
	}
	return fmt.Sprintf("%s/%s (generation %d)", r.Namespace, r.Name, r.Generation)
}

// from spells a starting point out: the dataset's field, or the way to another's.
func from(dataset string, s Start) string {
	var b strings.Builder
	at := dataset
	for _, h := range s.Via {
		fmt.Fprintf(&b, "%s.%s → %s.%s, ", at, h.Field, h.Dataset, h.Key)
		at = h.Dataset
	}
	fmt.Fprintf(&b, "%s.%s", at, s.Field)
	if s.Format != Native {
		fmt.Fprintf(&b, " (%s)", s.Format)
	}
	return b.String()
}

func named(name, path string) string {
	if name == path {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, path)
}

func basis(law string) string {
	if law == "" {
		return ""
	}
	return " (" + law + ")"
}

// mark makes what a person has to change stand out.
func mark(problem bool) string {
	if problem {
		return "! "
	}
	return "- "
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
