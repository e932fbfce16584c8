// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/schedule"
	"dataretention.dev/retention-operator/internal/subject"
	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// The CRD's rules and the operator's parsers are two definitions of one language. What the API server accepts must be
// what the operator can carry out: a person hears of a mistake when applying it, not from a condition at night. Each
// test names the differences that remain; the operator reports the first kind as InvalidSpec.

// Accepted by the API server and refused by the operator: periods whose parts add up to more than 1000 years.
// Accepted by the operator only: more digits than a sensible period has (four for years, five for months and weeks, 32
// characters in all), as long as they stay below 1000 years.
func TestPeriodsAsTheOperatorReadsThem(t *testing.T) {
	overlong := regexp.MustCompile(`[0-9]{4}Y|P([0-9]+Y)?[0-9]{5}M|[0-9]{5}W`)
	agree(t, agreement{
		patch: rule,
		draw: func(t *rapid.T) string {
			if rapid.IntRange(0, 2).Draw(t, "kind") == 0 {
				return rapid.StringOfN(rapid.RuneFrom([]rune("PPPTYMWDHS0123456789-., p")), 1, 12, -1).Draw(t, "text")
			}
			s := "P"
			for _, unit := range []string{"Y", "M", "W", "D", "T", "H", "M", "S"} {
				if unit == "T" || rapid.Bool().Draw(t, unit) {
					s += rapid.StringMatching(`[0-9]{0,2}|[0-9]{3,5}`).Draw(t, "number of "+unit) + unit
				}
			}
			return strings.ReplaceAll(strings.TrimSuffix(regexp.MustCompile(`[0-9]*T`).ReplaceAllString(s, "T"), "T"), "PP", "P")
		},
		parse:    func(s string) error { _, err := schedule.ParsePeriod(s); return err },
		onlyCRD:  func(_ string, err error) bool { return strings.Contains(err.Error(), "longer than 1000 years") },
		onlyGo:   func(s string) bool { return overlong.MatchString(s) || len(s) > 32 },
		examples: []string{"P999Y", "P1000Y", "P999Y9999M", "P9999M", "P10000M", "P00090D", "PT0S", "P1DT", "P1M1M"},
	})
}

// Accepted by the API server and refused by the operator: lines that name a day which no month of theirs has
// (30 February), and ranges between a number and a name that go down (5-MON).
// Accepted by the operator only: fields separated by tabs, numbers of three digits, steps with a leading zero, and a star as the
// beginning of a range (*-5).
func TestSchedulesAsTheOperatorReadsThem(t *testing.T) {
	mixed := regexp.MustCompile(`[0-9]-[A-Za-z]|[A-Za-z]-[0-9]`)
	lenient := regexp.MustCompile(`[\t\r\n]|[0-9]{3}|/0|[*?]-|^ +@|@.* `)
	agree(t, agreement{
		patch: func(s string) string { return "spec: {schedule: " + quoted(s) + "}" },
		draw: func(t *rapid.T) string {
			if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
				return rapid.StringOfN(rapid.RuneFrom([]rune("0123456789*/,-?@ TZ=LWsunjandilyery#")), 1, 20, -1).Draw(t, "text")
			}
			var fields []string
			for range rapid.SampledFrom([]int{5, 5, 5, 5, 5, 5, 5, 4, 6}).Draw(t, "fields") {
				fields = append(fields, strings.Join(rapid.SliceOfN(cronItem, 1, 3).Draw(t, "items"), ","))
			}
			return strings.Join(fields, rapid.SampledFrom([]string{" ", " ", " ", "  "}).Draw(t, "between"))
		},
		parse: func(s string) error { _, err := schedule.Parse(s, time.UTC); return err },
		onlyCRD: func(s string, err error) bool {
			return strings.Contains(err.Error(), "never fires") || mixed.MatchString(s)
		},
		onlyGo: func(s string) bool { return lenient.MatchString(s) },
		examples: []string{"0 3 * * *", "0 3 30 2 *", "0 0 * * 5-MON", "0 0 * * 1-FRI", "*/100 * * * *", "0\t3 * * *", "*-5 * * * *", "0 3 * * sat-sun", "0 3 * * SUN-SAT",
			"0 3 * MAR-may *", "0-0 3 * * *", "0 3 * SUN *", "0 3 * * JAN", "59/99 * * * *", "0 0 * * ?/2", "0 0 31 2,4 *"},
	})
}

var cronItem = rapid.Custom(func(t *rapid.T) string {
	value := rapid.SampledFrom([]string{"0", "1", "2", "3", "5", "6", "01", "7", "9", "12", "13", "23", "24", "31", "32", "59", "60", "mon", "FRI", "sun", "Jan", "DEC", "L"})
	item := rapid.SampledFrom([]string{"*", "*", "*", "?", "1", "1", "value", "value"}).Draw(t, "item")
	if item == "value" {
		item = value.Draw(t, "low")
	}
	if rapid.IntRange(0, 3).Draw(t, "range") == 0 {
		item += "-" + value.Draw(t, "high")
	}
	if rapid.IntRange(0, 4).Draw(t, "stepped") == 0 {
		item += "/" + rapid.SampledFrom([]string{"0", "1", "2", "15", "99", "100", "x"}).Draw(t, "step")
	}
	return item
})

// The API server knows the zones of its own build: those of CronJobs. No difference is known; if its list is older than
// the operator's, a new zone is refused until the server is updated, and in the other case the operator reports it.
func TestTimeZonesAsTheOperatorReadsThem(t *testing.T) {
	names := []string{"UTC", "GMT", "Etc/UTC", "Etc/GMT+12", "Etc/GMT-14", "Europe/Berlin", "Europe/Kyiv", "Asia/Taipei", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
		"America/New_York", "America/Argentina/Buenos_Aires", "America/Port-au-Prince", "Africa/Casablanca", "Pacific/Kiritimati", "Antarctica/Troll", "EST5EDT", "US/Pacific"}
	agree(t, agreement{
		patch: func(s string) string { return "spec: {timeZone: " + quoted(s) + "}" },
		draw: func(t *rapid.T) string {
			name := rapid.SampledFrom(names).Draw(t, "name")
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				return rapid.StringMatching(`[A-Za-z]{2,5}(/[A-Za-z_+-]{2,5}[0-9]?)?|[+-]0[0-9]:00`).Draw(t, "made up")
			case 1:
				return name + rapid.SampledFrom([]string{"/", " ", "x", "/Berlin", "+1"}).Draw(t, "more")
			case 2:
				return name[rapid.IntRange(1, len(name)-1).Draw(t, "cut"):]
			}
			return name
		},
		parse:    func(s string) error { _, err := schedule.LoadLocation(s); return err },
		onlyCRD:  func(string, error) bool { return false },
		onlyGo:   func(string) bool { return false },
		examples: append(names, "Local", "localtime", "right/UTC", "posixrules", "../UTC", "Europe", "europe/berlin", "utc", "CEST", "UTC+2", "GMT+1"),
	})
}

// No difference is known: what the operator takes from an annotation, it can store in a status.
func TestCaseTextsAsTheOperatorReadsThem(t *testing.T) {
	var examples []string
	for text := range identifiers {
		examples = append(examples, text)
	}
	words := []string{"jane", "@", "＠", "%40", "(at)", "[ at ]", "example.com", " ", "-", "/", "–", "\u00a0", "+49", "(30)", "2026", "2026-", "/2026", "1", "12", "12345", "12345678", "٣", "192.", "0.", "2.", "17", "::", "fe80",
		"00:", "1B-", "550e8400-", "e29b-", "446655440000", "§", "\n", "客戶", "ER-", strings.Repeat("x", 120)}
	agree(t, agreement{
		least: leastLegalHold,
		patch: func(s string) string { return "spec: {release: {reason: " + quoted(s) + "}}" },
		draw: func(t *rapid.T) string {
			return strings.Join(rapid.SliceOfN(rapid.SampledFrom(words), 1, 8).Draw(t, "words"), "")
		},
		parse:    func(s string) error { return v1alpha1.CaseText(s).Validate() },
		onlyCRD:  func(string, error) bool { return false },
		onlyGo:   func(string) bool { return false },
		examples: examples,
	})
}

// No difference is known.
func TestTypesOfIdentifiersAsThePurgeReadsThem(t *testing.T) {
	agree(t, agreement{
		least: leastDatastore,
		patch: func(s string) string {
			return "spec: {datasets: [{name: a, identifiers: [{field: f, type: " + quoted(s) + "}]}]}"
		},
		draw: func(t *rapid.T) string {
			return rapid.StringMatching(`[a-zA-Z0-9_]{0,3}[ .=-]?[a-z0-9_]{0,2}`).Draw(t, "type")
		},
		parse: func(s string) error {
			if !subject.ValidType(s) {
				return errors.New("no type")
			}
			return nil
		},
		onlyCRD:  func(string, error) bool { return false },
		onlyGo:   func(string) bool { return false },
		examples: []string{"email", "customer_id", "e2", "_", "2fa", "E-Mail", "a_", "client_ID", strings.Repeat("x", 63), strings.Repeat("x", 64)},
	})
}

// What a CRD lets a person write or a controller say are the words of the Plan and the Receipt, and the constants here.
func TestWordsAreTheSame(t *testing.T) {
	root, err := fixture.Root()
	if err != nil {
		t.Fatal(err)
	}
	enums := map[string][]string{}
	for _, kind := range []string{"datastores", "erasurerequests", "legalholds"} {
		text, err := os.ReadFile(filepath.Join(root, "config/crd/bases/dataretention.dev_"+kind+".yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var crd map[string]any
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		walk(crd["spec"], "", func(path string, schema map[string]any) {
			words, _ := schema["enum"].([]any)
			for _, w := range words {
				enums[kind+"."+path] = append(enums[kind+"."+path], w.(string))
			}
			slices.Sort(enums[kind+"."+path])
		})
	}
	for path, where := range map[string]map[string]string{ // types, by their file
		"datastores.spec.datasets.onErasure.action":         {"internal/plan/erasure.go": "ErasureAction", "api/v1alpha1/datastore_types.go": "ErasureAction"},
		"datastores.spec.datasets.identifiers.match":        {"internal/plan/erasure.go": "Match", "api/v1alpha1/datastore_types.go": "IdentifierMatch"},
		"datastores.spec.datasets.identifiers.leads":        {"api/v1alpha1/datastore_types.go": "IdentifierLeads"},
		"datastores.spec.erasureApproval":                   {"api/v1alpha1/erasurerequest_types.go": "ApprovalMode"},
		"datastores.status.activeRun.erasure.mode":          {"api/v1alpha1/datastore_types.go": "ErasureRunMode"},
		"legalholds.spec.condition.operator":                {"internal/plan/erasure.go": "Operator"},
		"erasurerequests.spec.regulation":                   {"internal/schedule/deadline.go": "Regulation", "api/v1alpha1/erasurerequest_types.go": "Regulation"},
		"erasurerequests.spec.approval":                     {"api/v1alpha1/erasurerequest_types.go": "ApprovalMode"},
		"erasurerequests.spec.subjectSecretPolicy":          {"api/v1alpha1/erasurerequest_types.go": "SubjectSecretPolicy"},
		"erasurerequests.status.state":                      {"api/v1alpha1/erasurerequest_status.go": "ErasureState"},
		"erasurerequests.status.outcome":                    {"internal/receipt/account.go": "ErasureOutcome", "api/v1alpha1/erasurerequest_status.go": "ErasureOutcome"},
		"erasurerequests.status.datastores.step":            {"api/v1alpha1/erasurerequest_status.go": "ErasureStep"},
		"erasurerequests.status.datastores.datasets.action": {"internal/plan/erasure.go": "ErasureAction"},
	} {
		for file, kind := range where {
			words := []string{}
			eachConstant(t, filepath.Join(root, file), func(_, of, value string) {
				if of == kind && value != "Undeclared" { // in a Plan only: the map says nothing
					words = append(words, value)
				}
			})
			slices.Sort(words)
			if diff := gocmp.Diff(enums[path], words); diff != "" {
				t.Errorf("%s (-CRD +%s of %s):\n%s", path, kind, file, diff)
			}
		}
	}
}

type agreement struct {
	least    string // leastRetentionPolicy, if empty
	patch    func(string) string
	draw     func(*rapid.T) string
	parse    func(string) error
	onlyCRD  func(string, error) bool // the differences that are known
	onlyGo   func(string) bool
	examples []string
}

func agree(t *testing.T, a agreement) {
	compare := func(errorf func(string, ...any), s string) {
		served := tryCreate(t, object(t, cmp.Or(a.least, leastRetentionPolicy), a.patch(s)))
		parsed := a.parse(s)
		switch {
		case served == nil && parsed != nil && !a.onlyCRD(s, parsed):
			errorf("%q: the API server accepts it, the operator does not: %v", s, parsed)
		case served != nil && parsed == nil && !a.onlyGo(s):
			errorf("%q: the operator reads it, the API server says: %s", s, complaints(served))
		}
	}
	for _, s := range a.examples {
		compare(t.Errorf, s)
	}
	rapid.Check(t, func(rt *rapid.T) { compare(rt.Errorf, a.draw(rt)) })
}
