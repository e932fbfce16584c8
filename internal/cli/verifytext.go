// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"dataretention.dev/retention-operator/internal/evidence"
)

// levels say in a sentence how much a statement proves.
var levels = map[evidence.Level]string{
	evidence.LevelDeleted:      "all that was due or found is deleted, and a look afterwards found nothing left",
	evidence.LevelAnonymized:   "all that was due or found is dealt with, and some of it was anonymized, which is not deletion",
	evidence.LevelNothingFound: "somebody looked everywhere, and there was nothing to delete; nothing was deleted",
	evidence.LevelRetained:     "what may go is gone; the rest is kept by an obligation or a hold",
	evidence.LevelIncomplete:   "NOT all that should be gone is gone, or nobody has looked afterwards",
	evidence.LevelUnproven:     "something may have been done that nobody can account for",
	evidence.LevelNotDone:      "nothing was changed, or somewhere nobody could even look",
	evidence.LevelNone:         "it claims no deletion",
}

// titles name the kinds of statement.
var titles = map[evidence.Kind]string{
	evidence.Intent: "what was about to be done in", evidence.Result: "what came of", evidence.Conclusion: "how it ended:",
	evidence.BackupsExpired: "backups have expired", evidence.HoldEnforced: "a hold is enforced:", evidence.HoldReleased: "a hold is released:",
	evidence.Pruned: "older statements were removed",
}

// sentenceOf names a statement.
func sentenceOf(s *evidence.Statement, index int64) string {
	p := &s.Predicate
	text := fmt.Sprintf("entry %d, %s (%s", index, p.Kind, titles[p.Kind])
	if namespace, name := about(p); name != "" {
		text += " " + namespace + " " + name
	}
	if p.Run != nil {
		text += ", run " + p.Run.Name
	}
	return fmt.Sprintf("%s), level %s", text, p.Level)
}

// verdict prints what was verified.
func (t *terminal) verdict(v *verdict) {
	switch {
	case !v.Genuine && v.Size == 0:
		fmt.Fprintf(t.out, "%s %s.\n", t.paint(red, "REFUSED:"), printable(v.Problems[0].Sentence))
	case v.Statement != nil:
		t.verifiedStatement(v)
	default:
		t.verifiedLedger(v)
	}
}

func (t *terminal) verifiedStatement(v *verdict) {
	p := &v.Statement.Predicate
	fmt.Fprintf(t.out, "%s %s.\n", t.paint(green, "GENUINE:"), sentenceOf(v.Statement, *v.Index))
	fmt.Fprintf(t.out, "It says: %s: %s.\n", p.Level, levels[p.Level])
	if p.Outcome != "" || p.Message != "" {
		fmt.Fprintf(t.out, "         %s\n", strings.Trim(p.Outcome+". "+p.Message, ". "))
	}
	for i := range p.Datastores {
		t.statedDatastore(&p.Datastores[i])
	}
	fmt.Fprintln(t.out, "\nWhat this proves:")
	t.point("an operator with the statement key %s has stated exactly this, dated %s", short(v.KeyID), t.time(p.Time))
	t.point("it is entry %d of the ledger %s, which had %d entries", *v.Index, v.Ledger, v.Size)
	if v.Witnessed != nil {
		t.point("the witness %s has seen it in the ledger by %s, by its own clock", v.Witness, t.time(*v.Witnessed))
	}
	fmt.Fprintln(t.out, "\nWhat this does not prove:")
	if v.Witnessed == nil {
		t.point("when it was made: no witness of your keys has cosigned the checkpoint")
	}
	t.point("that the databases told the operator the truth, or that your keys are the operator's: get them by another way than the evidence")
	for _, g := range p.NotCovered {
		t.point("%s", t.gap(&g))
	}
	if p.GoneBy != nil {
		t.point("that backups have let go of it: the last one that may have it expires %s, by what was declared", t.time(*p.GoneBy))
	}
}

// statedDatastore prints what a statement says of a Datastore, a line for each dataset.
func (t *terminal) statedDatastore(d *evidence.Datastore) {
	head := "  " + d.Name
	for _, s := range []string{string(d.Level), d.Outcome, d.Reason} {
		if s != "" {
			head += ", " + s
		}
	}
	fmt.Fprintln(t.out, head)
	for i := range d.Datasets {
		ds := &d.Datasets[i]
		var parts []string
		for _, n := range []struct {
			number *int64
			what   string
		}{{ds.Found, "found"}, {ds.Matched, "due"}, {ds.Deleted, "deleted"}, {ds.Anonymized, "anonymized"}, {ds.Retained, "retained"}, {ds.Held, "held"}, {ds.Remaining, "left"}} {
			if n.number != nil {
				parts = append(parts, count(*n.number)+" "+n.what)
			}
		}
		line := fmt.Sprintf("    %s: %s", ds.Name, strings.Join(parts, ", "))
		if ds.Counting == "AtLeast" {
			line += " (at least)"
		}
		fmt.Fprintln(t.out, strings.TrimRight(line, ": "))
	}
}

func (t *terminal) point(format string, args ...any) {
	fmt.Fprintf(t.out, "  - %s\n", fmt.Sprintf(format, args...))
}

// gap says what a statement does not cover.
func (t *terminal) gap(g *evidence.Gap) string {
	text := string(g.Kind)
	if g.Name != "" {
		text += " " + g.Name
	}
	text += ": " + cmp.Or(g.Message, g.Reason)
	if g.Until != nil {
		text += fmt.Sprintf(" (until %s)", t.time(*g.Until))
	}
	return text
}

// short is the beginning of a key's identifier.
func short(id string) string { return id[:min(len(id), 16)] + "…" }

func (t *terminal) verifiedLedger(v *verdict) {
	if !v.Genuine {
		fmt.Fprintf(t.out, "%s the ledger %s with %s is not as it was written:\n", t.paint(red, "REFUSED:"), v.Ledger, plural(v.Size, "entry", "entries"))
		for _, p := range v.Problems {
			where := ""
			if p.Index != nil {
				where = fmt.Sprintf("entry %d: ", *p.Index)
			}
			t.point("%s%s", where, printable(p.Sentence))
		}
		return
	}
	fmt.Fprintf(t.out, "%s the ledger %s, %s", t.paint(green, "GENUINE:"), v.Ledger, plural(v.Size, "entry", "entries"))
	if v.First != nil {
		fmt.Fprintf(t.out, " from %s to %s", t.time(*v.First), t.time(*v.Last))
	}
	fmt.Fprintln(t.out, ".")
	for _, kind := range slices.Sorted(maps.Keys(v.Kinds)) {
		fmt.Fprintf(t.out, "  %-15s %d\n", kind, v.Kinds[kind])
	}
	for _, remark := range v.Remarks {
		fmt.Fprintf(t.out, "  Remark: %s.\n", printable(remark))
	}
	fmt.Fprintln(t.out, "\nWhat this proves:")
	t.point("every entry is there, in its order, under a checkpoint that the ledger's key has signed; every statement is signed, and does not contradict the others")
	if len(v.Earlier) > 0 {
		t.point("nothing was changed or taken away since the ledger had %d entries: it goes on from %s", v.Earlier[0], plural(int64(len(v.Earlier)), "earlier checkpoint", "earlier checkpoints"))
	}
	if v.Witnessed != nil {
		t.point("the witness %s has seen it in this state by %s, by its own clock", v.Witness, t.time(*v.Witnessed))
	}
	fmt.Fprintln(t.out, "\nWhat this does not prove:")
	if len(v.Dangling) > 0 {
		t.point("what came of %s without a result: entries %s. Each has something under way, or lost", plural(int64(len(v.Dangling)), "intent", "intents"), numbers(v.Dangling))
	}
	if len(v.Removed) > 0 {
		t.point("what %s said: removed at the end of their own retention, as was announced", plural(int64(len(v.Removed)), "statement", "statements"))
	}
	if v.Witnessed == nil {
		t.point("that this is the only state of the ledger: no witness of your keys has cosigned it")
	}
	t.point("that there is no later entry; that the databases told the operator the truth; that your keys are the operator's")
}

func numbers(list []int64) string {
	var out []string
	for _, n := range list {
		out = append(out, fmt.Sprint(n))
	}
	const most = 20
	if len(out) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(out[:most], ", "), len(out)-most)
	}
	return strings.Join(out, ", ")
}
