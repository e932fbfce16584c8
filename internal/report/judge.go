// SPDX-License-Identifier: Apache-2.0

package report

import "dataretention.dev/retention-operator/internal/evidence"

// leftByNotDoing are the outcomes by which what was due is still there: what was counted is what remains.
var leftByNotDoing = map[string]bool{"Simulated": true, "AwaitingApproval": true}

// provenLevels are those by which all that was to go is gone.
var provenLevels = map[evidence.Level]bool{
	evidence.LevelDeleted: true, evidence.LevelAnonymized: true, evidence.LevelNothingFound: true, evidence.LevelRetained: true,
}

// verdict is what the datasets of a run say together.
type verdict struct {
	left                                              tally
	simulated, waiting, unproven, unobserved, undated bool
}

// judge says whether a run left nothing past its period, why not or why that cannot be known, and how much it left.
func judge(p *evidence.Predicate, datastores []evidence.Datastore) (State, Why, *Count) {
	v := verdict{unobserved: len(datastores) == 0, unproven: p.Level == evidence.LevelUnproven}
	for i := range datastores {
		d := &datastores[i]
		v.unproven = v.unproven || d.Level == evidence.LevelUnproven
		v.unobserved = v.unobserved || len(d.Datasets) == 0 && d.Outcome != "Succeeded" && d.Outcome != "Simulated"
		for j := range d.Datasets {
			v.look(&d.Datasets[j])
		}
	}
	for i := range p.NotCovered {
		v.unobserved = v.unobserved || p.NotCovered[i].Kind == evidence.GapDatastore
	}
	state, why := v.state(provenLevels[p.Level] || v.simulated && p.Level == evidence.LevelNotDone)
	return state, why, v.left.count()
}

func (v *verdict) look(ds *evidence.Dataset) {
	v.simulated = v.simulated || ds.Outcome == "Simulated"
	v.waiting = v.waiting || ds.Outcome == "AwaitingApproval"
	v.undated = v.undated || positive(ds.Undated) || positive(ds.Invalid)
	switch {
	case ds.Remaining != nil:
		v.left.add(ds.Remaining, false)
	case ds.Matched != nil && leftByNotDoing[ds.Outcome]:
		v.left.add(ds.Matched, false)
	default:
		v.unobserved = true
	}
}

func (v *verdict) state(proven bool) (State, Why) {
	switch {
	case v.left.n > 0 && v.waiting:
		return NotCompliant, WhyAwaitingApproval
	case v.left.n > 0 && v.simulated:
		return NotCompliant, WhySimulated
	case v.left.n > 0:
		return NotCompliant, WhyRecordsLeft
	case v.unproven:
		return Unknown, WhyUnproven
	case v.unobserved:
		return Unknown, WhyNotObserved
	case v.undated:
		return Unknown, WhyUndated
	case !proven:
		return Unknown, WhyIncomplete
	}
	return Compliant, ""
}
