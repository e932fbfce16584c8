// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func pathOf(t testing.TB, l *testLog, i int64) string {
	t.Helper()
	_, payload, err := Payload(l.envelopes[i])
	if err != nil {
		t.Fatal(err)
	}
	return ExportStatement(DigestOf(payload))
}

// rebuilt is a log with the same key, and the entries that edit leaves of the story's.
func rebuilt(t testing.TB, edit func(envelopes []*Envelope) []*Envelope) *testLog {
	l := newLog(t)
	for _, e := range edit(story(t).envelopes) {
		l.append(e)
	}
	return l
}

// signedAnyway adds a statement as the operator's key would sign it if Sign did not refuse.
func signedAnyway(l *testLog, s *Statement) Reference {
	l.t.Helper()
	s.Normalize()
	return l.append(forged(l.t, toJSON(l.t, s), l.statement))
}

func TestVerifyLog(t *testing.T) {
	const entriesFile = "tile/entries/000.p/12"
	trust := trustOf(t, testKeys()...)
	type logged struct {
		export  fstest.MapFS
		options LogOptions
		trust   *Trust
	}
	of := func(l *testLog) logged { return logged{export: l.export(time.Time{})} }
	cases := map[string]struct {
		make func(t *testing.T) logged
		want []Code // in any order; nil if the log is genuine
		says string
	}{
		"genuine": {make: func(t *testing.T) logged { return of(story(t)) }},
		"genuine, without hashes": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			delete(e, "tile/0/000.p/12")
			return logged{export: e}
		}},
		"genuine, with checkpoints from elsewhere": {make: func(t *testing.T) logged {
			l := story(t)
			return logged{export: l.export(later, 3), options: LogOptions{Checkpoints: [][]byte{l.checkpoint(7, later), l.checkpoint(12, at(70))}}}
		}},
		"genuine, empty": {make: func(t *testing.T) logged { return of(newLog(t)) }},
		"genuine, an orphan statement": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			e[ExportStatement(DigestOf(nil))] = &fstest.MapFile{Data: []byte("{}")}
			return logged{export: e}
		}},

		// The tree.
		"an entry removed from the middle": {make: func(t *testing.T) logged {
			l := rebuilt(t, func(e []*Envelope) []*Envelope { return append(e[:aHold:aHold], e[aHold+1:]...) })
			e := l.export(later)
			e["checkpoint"] = story(t).export(later)["checkpoint"]
			e[entriesFile] = e["tile/entries/000.p/11"]
			return logged{export: e}
		}, want: []Code{CodeEntries}, says: "the entries from 0 on cannot be read: there are 11 of them instead of 12"},
		"an entry removed, and another put in its place": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			l := rebuilt(t, func(e []*Envelope) []*Envelope { return append(e[:aHold:aHold], e[aHold+1:]...) })
			l.add(holdOf(HoldEnforced, later.Add(-time.Hour)))
			for name, f := range l.export(later) {
				if name != ExportCheckpoint && name != "tile/0/000.p/12" {
					e[name] = f
				}
			}
			return logged{export: e}
		}, want: []Code{CodeRoot, CodeTile, CodeCloses}, says: "one was changed, moved, removed or added"},
		"entries in another order": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			l := rebuilt(t, func(e []*Envelope) []*Envelope { e[aHold], e[aSearchIntent] = e[aSearchIntent], e[aHold]; return e })
			e[entriesFile] = l.export(later)[entriesFile]
			return logged{export: e}
		}, want: []Code{CodeRoot, CodeTile, CodeCloses}},
		"one byte of an entry": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			e[entriesFile].Data = bytes.Replace(e[entriesFile].Data, []byte(`"retainUntil":"2033`), []byte(`"retainUntil":"2032`), 1)
			return logged{export: e}
		}, want: []Code{CodeRoot, CodeTile, CodeLeaf}, says: "entry 0 does not say what follows from its statement"},
		"an entry that is none": {make: func(t *testing.T) logged {
			l := story(t)
			l.raw(nil, []byte(`{"v":"dataretention.dev/ledger/v1"}`))
			return of(l)
		}, want: []Code{CodeUnknown}},
		"an entry of another version": {make: func(t *testing.T) logged {
			l := story(t)
			l.raw(nil, bytes.Replace(l.leaves[aHold], []byte("ledger/v1"), []byte("ledger/v2"), 1))
			return of(l)
		}, want: []Code{CodeLeaf}, says: `the entry is of version "dataretention.dev/ledger/v2"`},
		"an entry with spaces": {make: func(t *testing.T) logged {
			l := story(t)
			l.raw(nil, append(l.leaves[aHold], ' '))
			return of(l)
		}, want: []Code{CodeLeaf}},
		"the entries cut off": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			e[entriesFile].Data = e[entriesFile].Data[:300]
			return logged{export: e}
		}, want: []Code{CodeEntries}, says: "cut off"},
		"the entries gone": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			delete(e, entriesFile)
			return logged{export: e}
		}, want: []Code{CodeEntries}},
		"a hash changed": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			e["tile/0/000.p/12"].Data[5] ^= 1
			return logged{export: e}
		}, want: []Code{CodeTile}, says: "tile/0/000.p/12 do not follow from the entries"},

		"a file of hashes that is too large": {make: func(t *testing.T) logged {
			e := story(t).export(later)
			e["tile/0/000.p/12"].Data = make([]byte, 1<<20)
			return logged{export: e}
		}, want: []Code{CodeTile}, says: "has more than 8192 bytes"},
		"an entry of a Result that closes nothing": {make: func(t *testing.T) logged {
			l := story(t)
			leaf := mustLeaf(t, l.leaves[aHold])
			leaf.Kind, leaf.Key, leaf.Statement = Result, KeyHash(Result, "x"), DigestOf([]byte("x"))
			l.raw(nil, encodeLeaf(t, leaf))
			return of(l)
		}, want: []Code{CodeCloses, CodeStatementMissing}, says: "entry 12, a Result statement, closes no entry"},
		"an entry that leads out of the export": {make: func(t *testing.T) logged {
			l := story(t)
			leaf := mustLeaf(t, l.leaves[anExpiry])
			leaf.Key, leaf.Statement = KeyHash(leaf.Kind, "x"), "sha256:../checkpoint"
			l.raw(nil, encodeLeaf(t, leaf))
			return of(l)
		}, want: []Code{CodeLeaf}, says: "entry 12 has no digest of a statement"},
		"what hangs on an entry that is none": {make: func(t *testing.T) logged {
			l := story(t)
			l.raw(nil, []byte(`{"v":"dataretention.dev/ledger/v1"}`))
			l.add(resultOf(later, Reference{Intent, 12, DigestOf(nil)}, 5).key("x"))
			l.add(answerOf(later, "3", nil, Reference{Result, 12, DigestOf(nil)}))
			return of(l)
		}, want: []Code{CodeUnknown}},

		// Checkpoints.
		"the tail cut off below an earlier checkpoint": {make: func(t *testing.T) logged {
			l := rebuilt(t, func(e []*Envelope) []*Envelope { return e[:9] })
			e := l.export(later)
			e[ExportEarlier(11)] = &fstest.MapFile{Data: story(t).checkpoint(11, later)}
			return logged{export: e}
		}, want: []Code{CodeTruncated}, says: "the ledger had 11 entries once, and has 9 now"},
		"the tail cut off below a checkpoint from elsewhere": {make: func(t *testing.T) logged {
			l := rebuilt(t, func(e []*Envelope) []*Envelope { return e[:9] })
			return logged{export: l.export(later), options: LogOptions{Checkpoints: [][]byte{story(t).checkpoint(12, later)}}}
		}, want: []Code{CodeTruncated}},
		"rewritten from an earlier checkpoint on": {make: func(t *testing.T) logged {
			l := rebuilt(t, func(e []*Envelope) []*Envelope { return e[:8] })
			l.add(holdOf(HoldReleased, at(70)))
			e := l.export(later, 4)
			e[ExportEarlier(9)] = &fstest.MapFile{Data: story(t).checkpoint(9, later)}
			return logged{export: e}
		}, want: []Code{CodeRewritten}, says: "the ledger's first 9 entries are not those of an earlier checkpoint"},
		"rewritten from the beginning": {make: func(t *testing.T) logged {
			l := newLog(t)
			l.add(holdOf(HoldEnforced, at(4)))
			return logged{export: l.export(later), options: LogOptions{Checkpoints: [][]byte{story(t).checkpoint(1, later)}}}
		}, want: []Code{CodeRewritten}},
		"an earlier checkpoint of another ledger": {make: func(t *testing.T) logged {
			o := story(t)
			o.origin = "dataretention.dev/ledger/other"
			trust := trustOf(t, append(testKeys(), PublicKey{Use: UseLog, Name: o.origin, Key: public(o.log)})...)
			return logged{export: story(t).export(later), trust: trust, options: LogOptions{Checkpoints: [][]byte{o.checkpoint(3, later)}}}
		}, want: []Code{CodeOrigin}, says: "an earlier checkpoint is of another ledger"},
		"an earlier checkpoint that nobody has signed": {make: func(t *testing.T) logged {
			o := story(t)
			o.log = testKey("mallory's log")
			e := story(t).export(later)
			e[ExportEarlier(3)] = &fstest.MapFile{Data: o.checkpoint(3, later)}
			return logged{export: e}
		}, want: []Code{CodeLogSignature}, says: "an earlier checkpoint: no key that you trust"},
		"an earlier checkpoint of another size": {make: func(t *testing.T) logged {
			e := story(t).export(later, 4)
			e[ExportEarlier(5)] = e[ExportEarlier(4)]
			return logged{export: e}
		}, want: []Code{CodeCheckpoint}},
		"an earlier checkpoint of no size": {make: func(t *testing.T) logged {
			e := story(t).export(later, 4)
			e[ExportCheckpoints+"/latest"] = e[ExportEarlier(4)]
			return logged{export: e}
		}, want: []Code{CodeCheckpoint}},

		// Statements.
		"a statement deleted": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			delete(e, pathOf(t, l, aResult))
			return logged{export: e}
		}, want: []Code{CodeStatementMissing}, says: "the statement of entry 1 is gone, and nothing says that it was to be removed"},
		"a statement changed": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			f := e[pathOf(t, l, aResult)]
			s := replaced(t, payloadOf(t, l.envelopes[aResult]), `"deleted":1200`, `"deleted":1300`)
			f.Data = []byte(replaced(t, string(f.Data), l.envelopes[aResult].Payload, base64.StdEncoding.EncodeToString([]byte(s))))
			return logged{export: e}
		}, want: []Code{CodeStatementChanged}, says: "the statement of entry 1 was changed"},
		"a statement in the place of another": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			e[pathOf(t, l, aResult)] = e[pathOf(t, l, anIntent)]
			return logged{export: e}
		}, want: []Code{CodeStatementChanged}, says: "or is another one"},
		"a statement with two signatures": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			two := *l.envelopes[aResult]
			two.Signatures = append(two.Signatures, two.Signatures...)
			e[pathOf(t, l, aResult)].Data = toJSON(t, two)
			return logged{export: e}
		}, want: []Code{CodeSignatures}},
		"a statement that cannot be read": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			e[pathOf(t, l, aResult)].Data = make([]byte, MaxEnvelope+1)
			return logged{export: e}
		}, want: []Code{CodeStatementMissing}, says: "the statement of entry 1 cannot be read"},
		"a statement that is none": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			e[pathOf(t, l, aResult)].Data = []byte("{")
			return logged{export: e}
		}, want: []Code{CodeMalformed}},
		"a statement signed again": {make: func(t *testing.T) logged {
			l := story(t)
			e := l.export(later)
			keys := append(testKeys(), PublicKey{Use: UseStatement, Key: public(testKey("newer"))})
			again := forged(t, []byte(payloadOf(t, l.envelopes[aResult])), testKey("newer"))
			e[pathOf(t, l, aResult)].Data = toJSON(t, again)
			return logged{export: e, trust: trustOf(t, keys...)}
		}, want: []Code{CodeSignatureSwapped}, says: "another signature than it had when it was logged"},
		"a statement that claims too much": {make: func(t *testing.T) logged {
			l := story(t)
			s := resultOf(later, l.add(with2(intentOf(later), "x")), 5)
			s.Predicate.Key = "x"
			s.Predicate.Datastores[0].Level = LevelIncomplete
			signedAnyway(l, s)
			return of(l)
		}, want: []Code{CodeLevel}},
		"signed by an unknown key": {make: func(t *testing.T) logged {
			l := story(t)
			l.statement = testKey("mallory")
			l.add(with2(holdOf(HoldEnforced, later), "x"))
			return of(l)
		}, want: []Code{CodeSignature}},

		// How entries hang together.
		"two results of one intent": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with2(resultOf(later, Reference{Intent, anIntent, digestIn(t, l, anIntent)}, 5), "other"))
			return of(l)
		}, want: []Code{CodeSecondResult}, says: "entry 12 is a second Result of the Intent in entry 0"},
		"the same result twice": {make: func(t *testing.T) logged {
			l := story(t)
			l.append(l.envelopes[aResult])
			return of(l)
		}, want: []Code{CodeDuplicateKey, CodeSecondResult}},
		"the same key twice": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with(holdOf(HoldEnforced, later), func(p *Predicate) { p.Message = "again" }))
			return of(l)
		}, want: []Code{CodeDuplicateKey}, says: "entry 12 is of the same kind and key as entry 3"},
		"a result of nothing": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with2(resultOf(later, Reference{Intent, 40, DigestOf(nil)}, 5), "x"))
			return of(l)
		}, want: []Code{CodeCloses}, says: "closes entry 40, which does not come before it"},
		"a result of another intent": {make: func(t *testing.T) logged {
			l := story(t)
			intent := l.add(with2(intentOf(later), "x"))
			l.add(with2(resultOf(later, intent, 5), "y"))
			return of(l)
		}, want: []Code{CodeCloses}, says: "is about something else than an Intent in entry 12"},
		"a result of what is no intent": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with2(resultOf(later, Reference{Intent, aHold, digestIn(t, l, aHold)}, 5), "x"))
			return of(l)
		}, want: []Code{CodeCloses}, says: "closes entry 3, which is a HoldEnforced statement"},
		"a result that names another statement": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(intentOf(later).key("x"))
			l.add(resultOf(later, Reference{Intent, 12, DigestOf(nil)}, 5).key("x"))
			return of(l)
		}, want: []Code{CodeCloses}, says: "refers to another statement than the one in entry 12"},
		"a release of another hold": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with(holdOf(HoldReleased, later), func(p *Predicate) {
				p.Key, p.Closes = "x", &Reference{HoldEnforced, aHold, digestIn(t, l, aHold)}
			}))
			return of(l)
		}, want: []Code{CodeCloses}},
		"an answer to another request": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with(answerOf(later, "3", &Reference{Conclusion, aNewAnswer, digestIn(t, l, aNewAnswer)}, Reference{Result, aResult, digestIn(t, l, aResult)}), func(p *Predicate) { p.Request.UID = "other" }))
			return of(l)
		}, want: []Code{CodeCloses}, says: "supersedes the Conclusion in entry 9, which is about something else"},
		"a run of another policy": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with(conclusionOf(later, Reference{Result, aResult, digestIn(t, l, aResult)}), func(p *Predicate) {
				p.Key, p.Closes, p.Policy = "x", &Reference{Conclusion, aConclusion, digestIn(t, l, aConclusion)}, &Policy{Object: Object{UID: "other"}}
			}))
			return of(l)
		}, want: []Code{CodeCloses}, says: "supersedes the Conclusion in entry 2, which is about something else"},
		"the same policy": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with(conclusionOf(later, Reference{Result, aResult, digestIn(t, l, aResult)}), func(p *Predicate) {
				p.Key, p.Closes = "x", &Reference{Conclusion, aConclusion, digestIn(t, l, aConclusion)}
			}))
			return of(l)
		}},
		"an answer that rests on nothing": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(answerOf(later, "3", nil, Reference{Result, 3, DigestOf(nil)}))
			return of(l)
		}, want: []Code{CodeCloses}, says: "entry 12 refers to another statement than the one in entry 3"},
		"an answer that rests on what is to come": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(answerOf(later, "3", nil, Reference{Result, 30, DigestOf(nil)}))
			return of(l)
		}, want: []Code{CodeCloses}, says: "entry 12 refers to entry 30, which does not come before it"},
		"deleted, by results that did nothing": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(with(conclusionOf(later, Reference{Result, aSearchResult, digestIn(t, l, aSearchResult)}), func(p *Predicate) {
				p.Key, p.Level, p.Datastores, p.NotCovered = "x", LevelDeleted, p.Datastores[:1], nil
			}))
			return of(l)
		}, want: []Code{CodeLevel}, says: "claims Deleted, and all Results that it rests on say that nothing was done"},
		"backups that never expire": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(expiredOf(later, Reference{Result, aSearchResult, digestIn(t, l, aSearchResult)}, LevelNotDone))
			return of(l)
		}, want: []Code{CodeCloses}, says: "entry 5 does not say when they would"},
		"backups that expire later": {make: func(t *testing.T) logged {
			l := rebuilt(t, func(e []*Envelope) []*Envelope { return e[:anExpiry] })
			l.add(expiredOf(at(80), Reference{Result, aResult, digestIn(t, l, aResult)}, LevelDeleted))
			return of(l)
		}, want: []Code{CodeTime}, says: "before 2026-04-05T02:02:00Z was over"},
		"backups that prove more than the deletion": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(expiredOf(later.AddDate(0, 0, 30), Reference{Result, anEraseResult, digestIn(t, l, anEraseResult)}, LevelDeleted))
			return of(l)
		}, want: []Code{CodeLevel}, says: "claims Deleted, and the statement in entry 7 Retained"},
		"an intent without a result": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(intentOf(later).key("x"))
			return of(l)
		}},
		"an intent without a result for an hour": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(intentOf(later).key("x"))
			return logged{export: l.export(later), options: LogOptions{DanglingAfter: time.Hour, Now: later.Add(61 * time.Minute)}}
		}, want: []Code{CodeDangling}, says: "the Intent in entry 12, of 2026-04-07T02:00:00Z, has no Result"},
		"an intent without a result for a minute": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(intentOf(later).key("x"))
			return logged{export: l.export(later), options: LogOptions{DanglingAfter: time.Hour, Now: later.Add(time.Minute)}}
		}},
		"time goes back": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(holdOf(HoldEnforced, at(90)).key("x"))
			return of(l)
		}, says: "remark: entry 12 is dated 2026-03-01T03:30:00Z, and the one before it 2026-04-06T02:02:00Z"},
		"clocks a little apart": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(holdOf(HoldEnforced, at(2).AddDate(0, 0, 36).Add(-9*time.Minute)).key("x"))
			return of(l)
		}},
		"dated after the witness saw it": {make: func(t *testing.T) logged {
			return logged{export: story(t).export(at(90))}
		}, want: []Code{CodeTime}, says: "entry 11 is dated 2026-04-06T02:02:00Z, but a witness saw it at 2026-03-01T03:30:00Z already"},

		// Removal at the end of the retention.
		"pruned": {make: func(t *testing.T) logged { return pruned(t, start.AddDate(7, 1, 0), anIntent, aResult) }},
		"pruned, of every kind": {make: func(t *testing.T) logged {
			return pruned(t, start.AddDate(7, 2, 0), anIntent, aResult, aConclusion, aHold, anAnswer, aNewAnswer, aRelease, anExpiry)
		}},
		"announced, and still there": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(prunedOf(start.AddDate(7, 1, 0), anIntent))
			return of(l)
		}},
		"pruned too early": {
			make: func(t *testing.T) logged { return pruned(t, start.AddDate(6, 0, 0), aResult) },
			want: []Code{CodePruned, CodeStatementMissing}, says: "entry 12 says that the statement of entry 1 was removed, which was to be kept until 2033-03-01T02:02:00Z",
		},
		"pruned, and one more gone": {make: func(t *testing.T) logged {
			p := pruned(t, start.AddDate(7, 1, 0), anIntent)
			delete(p.export, pathOf(t, story(t), aHold))
			return logged{export: p.export}
		}, want: []Code{CodeStatementMissing}, says: "the statement of entry 3 is gone"},
		"pruned what is to come": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(prunedOf(start.AddDate(7, 1, 0), 40))
			return of(l)
		}, want: []Code{CodePruned}, says: "which does not come before it"},
		"pruned what says what was pruned": {make: func(t *testing.T) logged {
			l := story(t)
			l.add(prunedOf(start.AddDate(7, 1, 0), anIntent))
			l.add(prunedOf(start.AddDate(14, 2, 0), 12))
			return of(l)
		}, want: []Code{CodePruned}, says: "which itself says what was removed"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			l := c.make(t)
			if l.trust == nil {
				l.trust = trust
			}
			report, err := VerifyLogWith(l.export, l.trust, l.options)
			if err != nil {
				t.Fatal(err)
			}
			var got []Code
			all := ""
			for _, remark := range report.Remarks {
				all += "remark: " + remark + "\n"
			}
			if odd := strings.Contains(all, "remark"); odd && len(c.want) == 0 && c.says == "" {
				t.Errorf("found\n%s", all)
			}
			for _, p := range report.Problems {
				if !slices.Contains(got, p.Code) {
					got = append(got, p.Code)
				}
				all += string(p.Code) + ": " + p.Sentence + "\n"
				if about := strings.HasPrefix(p.Sentence, "entry ") || strings.Contains(p.Sentence, " of entry "); about && p.Index == nil || p.Index != nil && *p.Index < 0 {
					t.Errorf("%s: the index is %v", p.Sentence, p.Index)
				}
			}
			slices.Sort(got)
			want := slices.Compact(slices.Sorted(slices.Values(c.want)))
			if !slices.Equal(got, want) || !strings.Contains(all, c.says) {
				t.Errorf("found\n%swant %v: %s", all, want, c.says)
			}
		})
	}
}

// key is the statement with another key.
func (s *Statement) key(k string) *Statement {
	s.Predicate.Key = k
	return s
}

func with2(s *Statement, key string) *Statement { return s.key(key) }

func encodeLeaf(t testing.TB, l *Leaf) []byte {
	t.Helper()
	b, err := l.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func digestIn(t testing.TB, l *testLog, i int64) string {
	t.Helper()
	leaf, err := DecodeLeaf(l.leaves[i])
	if err != nil {
		t.Fatal(err)
	}
	return leaf.Statement
}

// pruned is the story with a Pruned statement of that time, and without the statements that it names.
func pruned(t *testing.T, at time.Time, indices ...int64) struct {
	export  fstest.MapFS
	options LogOptions
	trust   *Trust
} {
	l := story(t)
	l.add(prunedOf(at, indices...))
	e := l.export(time.Time{})
	for _, i := range indices {
		delete(e, pathOf(t, l, i))
	}
	return struct {
		export  fstest.MapFS
		options LogOptions
		trust   *Trust
	}{export: e}
}

func TestLogReport(t *testing.T) {
	l := story(t)
	l.add(intentOf(later).key("x"))
	l.add(prunedOf(start.AddDate(7, 1, 0), anIntent, aResult))
	e := l.export(start.AddDate(7, 2, 0), 0, 12)
	delete(e, pathOf(t, l, anIntent))
	r, err := VerifyLog(e, trustOf(t, testKeys()...))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Problems) > 0 {
		t.Fatalf("%v", r.Problems)
	}
	if r.Size != 14 || !slices.Equal(r.Dangling, []int64{12}) || !slices.Equal(r.Pruned, []int64{anIntent}) || !slices.Equal(r.Earlier, []int64{0, 12}) {
		t.Errorf("%+v", r)
	}
	if r.Kinds[Intent] != 4 || r.Kinds[Result] != 3 || r.Kinds[Conclusion] != 3 || r.Kinds[Pruned] != 1 {
		t.Errorf("%v", r.Kinds)
	}
	if !r.First.Equal(at(1)) || !r.Last.Equal(start.AddDate(7, 1, 0)) || r.Checkpoint.Witness != testWitness {
		t.Errorf("from %v to %v, seen by %q", r.First, r.Last, r.Checkpoint.Witness)
	}
}

// Full bundles and tiles, and several levels of them.
func TestVerifyLargeLog(t *testing.T) {
	l := newLog(t)
	hold := holdOf(HoldEnforced, at(0))
	for i := range 700 {
		hold.Predicate.Key = time.Duration(i).String()
		l.add(hold)
	}
	trust := trustOf(t, testKeys()...)
	e := l.export(later, 255, 256, 257, 512, 699, 700)
	r, err := VerifyLog(e, trust)
	if err != nil || len(r.Problems) > 0 || len(r.Earlier) != 6 || r.Kinds[HoldEnforced] != 700 {
		t.Fatalf("%v: %+v", err, r)
	}
	e["tile/1/000.p/2"].Data[40] ^= 1
	r, err = VerifyLog(e, trust)
	if err != nil || len(r.Problems) != 1 || r.Problems[0].Code != CodeTile {
		t.Fatalf("%v: %+v", err, r)
	}
	// A log that has grown since: the last bundle is full by now.
	grown := l.export(later)
	for range 68 {
		hold.Predicate.Key += "x"
		l.add(hold)
	}
	delete(grown, "tile/entries/002.p/188")
	grown["tile/entries/002"] = l.export(later)["tile/entries/002"]
	if r, err = VerifyLog(grown, trust); err != nil || len(r.Problems) > 0 {
		t.Fatalf("%v: %+v", err, r.Problems)
	}
}

func TestVerifyLogFails(t *testing.T) {
	cases := map[string]struct {
		export fs.FS
		trust  *Trust
		code   Code
	}{
		"no export":               {fstest.MapFS{}, trustOf(t, testKeys()...), CodeCheckpoint},
		"no keys":                 {story(t).export(later), nil, CodeNoStatementKeys},
		"no statement key":        {story(t).export(later), without(UseStatement)(t), CodeNoStatementKeys},
		"no log key":              {story(t).export(later), without(UseLog)(t), CodeNoLogKeys},
		"no witness, as required": {story(t).export(time.Time{}), required(t), CodeWitnessMissing},
		"a checkpoint of anybody": {fstest.MapFS{ExportCheckpoint: {Data: []byte("x\n1\nAAAA\n")}}, trustOf(t, testKeys()...), CodeCheckpoint},
		"a huge checkpoint":       {fstest.MapFS{ExportCheckpoint: {Data: make([]byte, MaxCheckpoint+1)}}, trustOf(t, testKeys()...), CodeCheckpoint},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := VerifyLog(c.export, c.trust)
			var p *Problem
			if !errors.As(err, &p) || p.Code != c.code || r != nil {
				t.Errorf("%v, %v, want %s", r, err, c.code)
			}
		})
	}
}
