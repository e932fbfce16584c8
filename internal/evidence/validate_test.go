// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

func someRef(k Kind) Reference { return Reference{Kind: k, Index: 0, Digest: DigestOf([]byte("x"))} }

// each is a valid statement of each kind.
var each = map[Kind]func() *Statement{
	Intent:         func() *Statement { return intentOf(at(1)) },
	Result:         func() *Statement { return resultOf(at(2), someRef(Intent), 5) },
	Conclusion:     func() *Statement { return conclusionOf(at(3), someRef(Result)) },
	BackupsExpired: func() *Statement { return expiredOf(at(4), someRef(Result), LevelDeleted) },
	HoldEnforced:   func() *Statement { return holdOf(HoldEnforced, at(5)) },
	HoldReleased:   func() *Statement { return holdOf(HoldReleased, at(6)) },
	Pruned:         func() *Statement { return prunedOf(at(7), 0, 3) },
}

func TestValid(t *testing.T) {
	for kind := range rules {
		s := each[kind]
		if s == nil {
			t.Fatalf("no example of kind %s", kind)
		}
		if err := s().Validate(); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	for name, s := range map[string]*Statement{
		"a search":                      searchResult(at(8), someRef(Intent)),
		"an erasure":                    eraseResult(at(9), someRef(Intent)),
		"an answer":                     answerOf(at(10), "1", nil, someRef(Result)),
		"an answer that supersedes one": answerOf(at(10), "1", ptr(someRef(Conclusion)), someRef(Result)),
		"nothing was done": with(resultOf(at(2), someRef(Intent), 5), func(p *Predicate) {
			p.Level, p.Datastores[0].Level, p.Datastores[0].Datasets = LevelNotDone, LevelNotDone, nil
			p.GoneBy, p.LogicallyDeletedTime = nil, nil
		}),
		"nothing was due": with(resultOf(at(2), someRef(Intent), 5), func(p *Predicate) {
			p.Level, p.Datastores[0].Level, p.Datastores[0].Datasets = LevelNothingFound, LevelNothingFound, []Dataset{invoices("NothingDue")}
			p.GoneBy, p.LogicallyDeletedTime = nil, nil
		}),
		"receipts are lost": with(resultOf(at(2), someRef(Intent), 5), func(p *Predicate) {
			p.Level, p.Datastores[0].Level, p.Datastores[0].Datasets = LevelUnproven, LevelUnproven, []Dataset{invoices("NotRun")}
			p.GoneBy, p.LogicallyDeletedTime = nil, nil
		}),
		"a denial": with(answerOf(at(10), "1", nil), func(p *Predicate) {
			p.Level, p.Datastores, p.GoneBy, p.LogicallyDeletedTime = LevelNotDone, nil, nil, nil
			p.Request.Approval.Decision = "Denied"
		}),
		"an answer whose parts are in other namespaces": with(answerOf(at(10), "1", nil, someRef(Conclusion)), func(p *Predicate) {
			p.Datastores[0].Level, p.Level = LevelNothingFound, LevelDeleted
			p.Datastores[0].Datasets = []Dataset{customers("NotFound")}
		}),
		"an answer that claims nothing, of a Datastore in another namespace": with(answerOf(at(10), "1", nil), func(p *Predicate) {
			p.Level, p.NotCovered = LevelIncomplete, []Gap{{Kind: GapNamespace, Name: "crm", Reason: "NoEvidence"}}
		}),
		"a Datastore that failed as a whole": with(eraseResult(at(9), someRef(Intent)), func(p *Predicate) {
			p.Level, p.Datastores[0].Level, p.Datastores[0].Datasets = LevelIncomplete, LevelIncomplete, []Dataset{customers("Skipped")}
		}),
		"a search whose account is lost": with(searchResult(at(8), someRef(Intent)), func(p *Predicate) {
			p.Datastores[0].Datasets[0].Outcome, p.Datastores[0].Datasets[0].Reason = "Failed", "AccountLost"
		}),
		"a gap in a Datastore that is named, with its own level": with(answerOf(at(10), "1", nil, someRef(Result)), func(p *Predicate) {
			p.NotCovered = append(p.NotCovered, Gap{Kind: GapDatastore, Name: "orders", Reason: "DatastoreNotFound"})
		}),
		"a message longer than other strings": with(intentOf(at(1)), func(p *Predicate) { p.Message = strings.Repeat("x", MaxText) }),
		"a cutoff in the last century": with(intentOf(at(1)), func(p *Predicate) {
			p.Datastores[0].Datasets[0].Cutoff = ptr(time.Date(1996, 1, 1, 0, 0, 0, 0, time.UTC))
		}),
	} {
		if err := s.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func with(s *Statement, edit func(p *Predicate)) *Statement {
	edit(&s.Predicate)
	return s
}

func TestInvalid(t *testing.T) {
	long := strings.Repeat("x", MaxString+1)
	cases := map[string]struct {
		kind Kind
		edit func(s *Statement, p *Predicate)
		says string
		// level: the error is about a level
		level bool
	}{
		"no subject":           {Result, func(s *Statement, _ *Predicate) { s.Subject = nil }, "0 subjects", false},
		"a subject twice":      {Result, func(s *Statement, _ *Predicate) { s.Subject[1] = s.Subject[0] }, `the subject "plan" has no name, or one that another has too`, false},
		"a subject, no name":   {Result, func(s *Statement, _ *Predicate) { s.Subject[0].Name = "" }, "has no name", false},
		"a subject, no digest": {Result, func(s *Statement, _ *Predicate) { s.Subject[0].Digest = nil }, "no SHA-256 digest", false},
		"a subject by SHA-1": {Result, func(s *Statement, _ *Predicate) {
			s.Subject[0].Digest = map[string]string{"sha1": strings.Repeat("0", 40)}
		}, "no SHA-256 digest", false},
		"a subject's digest in capitals": {Result, func(s *Statement, _ *Predicate) {
			s.Subject[0].Digest["sha256"] = strings.ToUpper(s.Subject[0].Digest["sha256"])
		}, "no SHA-256 digest", false},
		"another type":       {Result, func(s *Statement, _ *Predicate) { s.Type = "x" }, "the statement's type", false},
		"another predicate":  {Result, func(s *Statement, _ *Predicate) { s.PredicateType = "x" }, "the predicate's type", false},
		"an unknown kind":    {Result, func(_ *Statement, p *Predicate) { p.Kind = "Certificate" }, `no kind "Certificate"`, false},
		"no key":             {Result, func(_ *Statement, p *Predicate) { p.Key = "" }, "the key", false},
		"a key of two lines": {Result, func(_ *Statement, p *Predicate) { p.Key = "a\nb" }, "the key", false},
		"a long key":         {Result, func(_ *Statement, p *Predicate) { p.Key = long[:1025] }, "the key", false},
		"no version":         {Result, func(_ *Statement, p *Predicate) { p.Operator.Version = "" }, "operator.version is missing", false},
		"no time":            {Result, func(_ *Statement, p *Predicate) { p.Time = time.Time{} }, "time is missing", false},
		"an old time":        {Result, func(_ *Statement, p *Predicate) { p.Time = time.Unix(0, 0).UTC() }, "time is 1970-01-01T00:00:00Z, which cannot be", false},
		"a far time":         {Result, func(_ *Statement, p *Predicate) { p.RetainUntil = start.AddDate(500, 0, 0) }, "retainUntil is 2526", false},
		"a local time":       {Result, func(_ *Statement, p *Predicate) { p.Time = p.Time.In(time.FixedZone("", 3600)) }, "time is not in UTC", false},
		"a local time below": {Result, func(_ *Statement, p *Predicate) {
			p.Datastores[0].StartTime = ptr(start.In(time.FixedZone("UTC", 3600)))
		}, "datastores[0].startTime is not in UTC", false},
		"not kept":             {Result, func(_ *Statement, p *Predicate) { p.RetainUntil = p.Time }, "retainUntil is not after time", false},
		"a long string":        {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Identity = long }, "datastores[0].identity has 4097 bytes", false},
		"a long name":          {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Name = long }, "datastores[0].name has 4097 bytes", false},
		"a long message":       {Result, func(_ *Statement, p *Predicate) { p.Message = strings.Repeat("x", MaxText+1) }, "message has 32769 bytes", false},
		"a control character":  {Result, func(_ *Statement, p *Predicate) { p.Message = "a\x1b[31mb" }, "message has a control character at byte 1", false},
		"not UTF-8":            {Result, func(_ *Statement, p *Predicate) { p.Message = "\xff" }, "message is not UTF-8", false},
		"a long list":          {Result, func(_ *Statement, p *Predicate) { p.NotCovered = make([]Gap, MaxItems+1) }, "notCovered has 10001 items", false},
		"a negative count":     {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Datasets[0].Deleted = ptr(int64(-1)) }, "datastores[0].datasets[0].deleted is -1", false},
		"a negative index":     {Result, func(_ *Statement, p *Predicate) { p.Closes.Index = -1 }, "closes.index is -1", false},
		"a reference, no hash": {Result, func(_ *Statement, p *Predicate) { p.Closes.Digest = "" }, "no digest of the form", false},
		"results twice":        {Conclusion, func(_ *Statement, p *Predicate) { p.Results = append(p.Results, p.Results[0]) }, "results has entry 0 twice", false},
		"results of intents":   {Conclusion, func(_ *Statement, p *Predicate) { p.Results[0].Kind = Intent }, "results has an entry of kind Intent", false},
		"results elsewhere":    {Result, func(_ *Statement, p *Predicate) { p.Results = []Reference{someRef(Result)} }, "has results", false},

		"an intent that closes":          {Intent, func(_ *Statement, p *Predicate) { p.Closes = ptr(someRef(Intent)) }, "an Intent does not close an Intent", false},
		"an intent with a level":         {Intent, func(_ *Statement, p *Predicate) { p.Level = LevelDeleted }, "that of an Intent is Deleted", true},
		"an intent that counts":          {Intent, func(_ *Statement, p *Predicate) { p.Datastores[0].Datasets[0].Deleted = ptr(int64(0)) }, "says what was done in dataset invoices", false},
		"an intent with a store's level": {Intent, func(_ *Statement, p *Predicate) { p.Datastores[0].Level = LevelDeleted }, "that of an Intent's Datastore is Deleted", true},
		"an intent without a run":        {Intent, func(_ *Statement, p *Predicate) { p.Run = nil }, "has no run", false},
		"an intent of no mode":           {Intent, func(_ *Statement, p *Predicate) { p.Run.Mode = "Pretend" }, `run.mode is "Pretend"`, false},
		"an intent for two datastores":   {Intent, func(_ *Statement, p *Predicate) { p.Datastores = append(p.Datastores, orders("")) }, "is about one Datastore, and this one has 2", false},
		"an intent for no datastore":     {Intent, func(_ *Statement, p *Predicate) { p.Datastores = nil }, "and this one has 0", false},
		"an intent for a nameless one":   {Intent, func(_ *Statement, p *Predicate) { p.Datastores[0].Name = "" }, "the Datastore has no name", false},
		"an intent that was done":        {Intent, func(_ *Statement, p *Predicate) { p.LogicallyDeletedTime = ptr(at(1)) }, "an Intent says when something was deleted", false},

		"a result that closes nothing":  {Result, func(_ *Statement, p *Predicate) { p.Closes = nil }, "does not say which statement it closes", false},
		"a result that closes a result": {Result, func(_ *Statement, p *Predicate) { p.Closes.Kind = Result }, "a Result statement does not close a Result statement", false},
		"a result without a level":      {Result, func(_ *Statement, p *Predicate) { p.Level = LevelNone }, "that of a Result statement is None", true},
		"a result of an unknown level":  {Result, func(_ *Statement, p *Predicate) { p.Level = "Certified" }, `no level "Certified"`, true},
		"a store without a level":       {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Level = "" }, `Datastore orders has the level ""`, true},
		"a store of level None":         {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Level = LevelNone }, `has the level "None"`, true},
		"deleted, and no dataset":       {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Datasets = nil }, "claims Deleted, and its datasets bear out NotDone at best", true},
		"deleted in a simulation":       {Result, func(_ *Statement, p *Predicate) { p.Run.Mode = ModeSimulate }, "a run that only looks proves no deletion", true},
		"deleted reads as nothing found": {Result, func(_ *Statement, p *Predicate) {
			p.Level, p.Datastores[0].Level, p.GoneBy, p.LogicallyDeletedTime = LevelNothingFound, LevelNothingFound, nil, nil
		}, "claims NothingFound", true},
		"deleted reads as not done": {Result, func(_ *Statement, p *Predicate) {
			p.Level, p.Datastores[0].Level, p.GoneBy, p.LogicallyDeletedTime = LevelNotDone, LevelNotDone, nil, nil
		}, "claims NotDone", true},
		"gone before deleted": {Result, func(_ *Statement, p *Predicate) { p.GoneBy = ptr(p.LogicallyDeletedTime.Add(-1)) }, "goneBy is before logicallyDeletedTime", false},
		"the store better than its datasets": {Result, func(_ *Statement, p *Predicate) {
			p.Datastores[0].Datasets = append(p.Datastores[0].Datasets, invoices("NotRun"))
		}, "bear out Incomplete at best", true},
		"the whole better than its store": {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Level = LevelRetained }, "bear out Retained at best", true},
		"an unknown method":               {Result, func(_ *Statement, p *Predicate) { p.Datastores[0].Datasets[0].Method = "Shred" }, `dataset invoices has the method "Shred"`, false},
		"an unknown gap":                  {Result, func(_ *Statement, p *Predicate) { p.NotCovered[0].Kind = "Other" }, `notCovered has the kind "Other"`, false},
		"with a list of what was pruned":  {Result, func(_ *Statement, p *Predicate) { p.Pruned = &PrunedEntries{Before: at(1), Indices: []int64{0}} }, "has pruned", false},

		"a conclusion of nothing":    {Conclusion, func(_ *Statement, p *Predicate) { p.Policy = nil }, "about either a policy or a request", false},
		"a conclusion of two":        {Conclusion, func(_ *Statement, p *Predicate) { p.Request = &Request{} }, "about either a policy or a request", false},
		"a conclusion over a result": {Conclusion, func(_ *Statement, p *Predicate) { p.Closes = ptr(someRef(Result)) }, "does not close a Result statement", false},
		"a conclusion out of the air": {Conclusion, func(_ *Statement, p *Predicate) {
			p.Results, p.Level, p.Datastores, p.NotCovered = nil, LevelDeleted, p.Datastores[:1], nil
		}, "Datastore orders claims Deleted, and its datasets bear out NotDone", true},
		"a conclusion without parts": {Conclusion, func(_ *Statement, p *Predicate) {
			p.Level, p.Datastores = LevelNothingFound, nil
			p.GoneBy, p.LogicallyDeletedTime, p.NotCovered = nil, nil, nil
		}, "bear out NotDone at best", true},
		"a conclusion that leaves a datastore out": {Conclusion, func(_ *Statement, p *Predicate) {
			p.Level, p.Datastores = LevelDeleted, p.Datastores[:1]
		}, "bear out Incomplete at best", true},
		"a conclusion that leaves out of two datastores both": {Conclusion, func(_ *Statement, p *Predicate) {
			p.Level, p.Datastores = LevelDeleted, nil
		}, "bear out NotDone at best", true},
		"a search that has changed something": {Result, func(_ *Statement, p *Predicate) {
			p.Run.Mode, p.Level, p.Datastores[0].Level = ModeSimulate, LevelNotDone, LevelNotDone
		}, "claims NotDone", true},

		"expired, of nothing":     {BackupsExpired, func(_ *Statement, p *Predicate) { p.Closes = nil }, "does not say which", false},
		"expired, of another key": {BackupsExpired, func(_ *Statement, p *Predicate) { p.Key = "x" }, "the key is not the digest", false},
		"expired too early":       {BackupsExpired, func(_ *Statement, p *Predicate) { p.GoneBy = ptr(p.Time.Add(1)) }, "before goneBy", false},
		"expired without a level": {BackupsExpired, func(_ *Statement, p *Predicate) { p.Level = LevelNone }, "is None", true},
		"a hold that is none":     {HoldEnforced, func(_ *Statement, p *Predicate) { p.Hold = nil }, "names no hold", false},
		"a hold without a name":   {HoldEnforced, func(_ *Statement, p *Predicate) { p.Hold.Name = "" }, "names no hold", false},
		"a hold since never":      {HoldEnforced, func(_ *Statement, p *Predicate) { p.Hold.EnforcedTime = nil }, "hold.enforcedTime is missing", false},
		"a hold released never":   {HoldReleased, func(_ *Statement, p *Predicate) { p.Hold.ReleasedTime = nil }, "hold.releasedTime is missing", false},
		"a hold that deletes":     {HoldEnforced, func(_ *Statement, p *Predicate) { p.Level = LevelDeleted }, "is Deleted", true},
		"pruned, but what":        {Pruned, func(_ *Statement, p *Predicate) { p.Pruned.Indices = nil }, "names no entry", false},
		"pruned nothing":          {Pruned, func(_ *Statement, p *Predicate) { p.Pruned = nil }, "has pruned, or has it not", false},
		"pruned in no order":      {Pruned, func(_ *Statement, p *Predicate) { p.Pruned.Indices = []int64{3, 0} }, "not in ascending order", false},
		"pruned twice":            {Pruned, func(_ *Statement, p *Predicate) { p.Pruned.Indices = []int64{3, 3} }, "or have one twice", false},
		"pruned below zero":       {Pruned, func(_ *Statement, p *Predicate) { p.Pruned.Indices = []int64{-1} }, "pruned.indices[0] is -1", false},
		"pruned what is to come":  {Pruned, func(_ *Statement, p *Predicate) { p.Pruned.Before = p.Time.Add(1) }, "pruned.before is after time", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := each[c.kind]()
			c.edit(s, &s.Predicate)
			err := s.Validate()
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want: %s", err, c.says)
			}
			if got := errors.Is(err, errLevel); got != c.level {
				t.Errorf("%v is about a level: %v, want %v", err, got, c.level)
			}
			if _, err := Sign(s, testKey("statement")); err == nil && !strings.Contains(name, "local") {
				t.Error("it was signed nevertheless")
			}
		})
	}
}

// filled is a statement in which every field has a value, whether it makes sense or not.
func filled() *Statement {
	s := &Statement{}
	fill(reflect.ValueOf(s).Elem())
	return s
}

func fill(v reflect.Value) {
	if v.Type() == timeType {
		v.Set(reflect.ValueOf(start))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"sha256": strings.Repeat("0", 64)}))
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	default:
		panic("statements have a field of kind " + v.Kind().String() + ", which bounded does not look at")
	}
}

// The bounds look at every field of a statement, whatever is added to it later.
func TestEveryFieldIsBounded(t *testing.T) {
	var spoil func(t *testing.T, root, v reflect.Value, path string)
	refused := func(t *testing.T, root reflect.Value, path, what string) {
		if err := bounded(root, "", ""); err == nil {
			t.Errorf("%s may be %s", path, what)
		}
	}
	spoil = func(t *testing.T, root, v reflect.Value, path string) {
		switch {
		case v.Type() == timeType:
			v.Set(reflect.ValueOf(start.In(time.FixedZone("CET", 3600))))
			refused(t, root, path, "of another zone")
			v.Set(reflect.ValueOf(start))
		case v.Kind() == reflect.String:
			v.SetString(strings.Repeat("x", MaxText+1))
			refused(t, root, path, "too long")
			v.SetString("x")
		case v.Kind() == reflect.Pointer:
			spoil(t, root, v.Elem(), path)
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				spoil(t, root, v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case v.Kind() == reflect.Slice:
			spoil(t, root, v.Index(0), path+"[0]")
			one := reflect.ValueOf(v.Interface())
			v.Set(reflect.MakeSlice(v.Type(), MaxItems+1, MaxItems+1))
			refused(t, root, path, "too many")
			v.Set(one)
		case v.Kind() == reflect.Int32 || v.Kind() == reflect.Int64:
			v.SetInt(-1)
			if !strings.HasSuffix(path, ".ClockSkewMilliseconds") && !strings.HasSuffix(path, ".ExitCode") {
				refused(t, root, path, "negative")
			}
			v.SetInt(1)
		}
	}
	root := reflect.ValueOf(&filled().Predicate).Elem()
	if err := bounded(root, "", ""); err != nil {
		t.Fatal(err)
	}
	spoil(t, root, root, "predicate")
}

func TestNormalize(t *testing.T) {
	zone := time.FixedZone("CET", 3600)
	theirs := start.In(zone)
	s := resultOf(at(2), someRef(Intent), 5)
	s.Predicate.Time = s.Predicate.Time.In(zone)
	s.Predicate.Datastores[0].Attempts[0].StartTime = &theirs
	s.Predicate.Datastores[0].Holds[0].SeenTime = &theirs
	s.Predicate.NotCovered[0].Until = &theirs
	if err := s.Validate(); err == nil {
		t.Fatal("a local time is valid")
	}
	if _, err := Sign(s, testKey("statement")); err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Errorf("after signing: %v", err)
	}
	if !s.Predicate.Time.Equal(at(2)) || !s.Predicate.NotCovered[0].Until.Equal(start) {
		t.Errorf("another instant: %v", s.Predicate.Time)
	}
	answer := answerOf(at(10), "1", nil, someRef(Result))
	answer.Predicate.Request.ReceivedTime = &theirs
	if answer.Normalize(); answer.Validate() != nil {
		t.Errorf("a time in what is pointed to: %v", answer.Validate())
	}
	if theirs.Location() != zone {
		t.Error("a time that the statement only points to was changed")
	}
}
