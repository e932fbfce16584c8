// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

const testKey = "0123456789abcdef"

// anonymizing opens a session whose one step anonymizes the records of table t from before 2024.
func anonymizing(tb testing.TB, dsn string, limits plan.Limits, transforms ...plan.Transform) *session {
	tb.Helper()
	step := deleteStepOf("t", "at", day("2024-01-01"))
	step.Action, step.Transforms = plan.Anonymize, transforms
	s := open(tb, dsn, plan.Plan{Steps: []plan.Step{step}, TimeZone: "Europe/Berlin", Limits: limits})
	if err := os.WriteFile(filepath.Join(s.in.KeysDir, "key"), []byte(testKey), 0o600); err != nil {
		tb.Fatal(err)
	}
	return s
}

// texts are the values of a query's one column.
func texts(tb testing.TB, conn *pgx.Conn, sql string) []string {
	tb.Helper()
	rows, err := conn.Query(tb.Context(), sql)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func pseudonym(value string) string {
	mac := hmac.New(sha256.New, []byte(testKey))
	mac.Write([]byte(value))
	return "hmac-sha256:" + hex.EncodeToString(mac.Sum(nil))
}

func TestAnonymizeMethods(t *testing.T) {
	addresses := []string{"203.0.113.77", "203.0.113.0", "2001:db8:1:2:3:4:5:6", "::ffff:198.51.100.7", "::1"}
	shortened := []string{"203.0.113.0", "203.0.113.0", "2001:db8:1::", "::ffff:198.51.100.0", "::"}
	tests := map[string]struct {
		column    string // its type
		transform plan.Transform
		values    []string // "NULL" is none
		want      []string
		left      engine.Leftover // without Oldest
	}{
		"Null":                 {column: "text", transform: plan.Transform{With: plan.MethodNull}, values: []string{"a", "", "NULL"}, want: []string{"NULL", "NULL", "NULL"}},
		"Null of json":         {column: "json", transform: plan.Transform{With: plan.MethodNull}, values: []string{"{}", "NULL"}, want: []string{"NULL", "NULL"}},
		"Constant":             {column: "text", transform: plan.Transform{With: plan.MethodConstant, Value: "it's gone"}, values: []string{"a", "it's gone", "", "NULL"}, want: []string{"it's gone", "it's gone", "it's gone", "it's gone"}},
		"Constant empty":       {column: "varchar(3)", transform: plan.Transform{With: plan.MethodConstant}, values: []string{"a", ""}, want: []string{"", ""}},
		"Constant number":      {column: "numeric(8,2)", transform: plan.Transform{With: plan.MethodConstant, Value: "7"}, values: []string{"1.5", "7.00"}, want: []string{"7.00", "7.00"}},
		"Constant json":        {column: "jsonb", transform: plan.Transform{With: plan.MethodConstant, Value: "{}"}, values: []string{`{"a": 1}`, "{}"}, want: []string{"{}", "{}"}},
		"Constant in char":     {column: "char(5)", transform: plan.Transform{With: plan.MethodConstant, Value: "x"}, values: []string{"abc", "x"}, want: []string{"x", "x"}},
		"Constant in any case": {column: "ci", transform: plan.Transform{With: plan.MethodConstant, Value: "Gone"}, values: []string{"gone", "Gone"}, want: []string{"Gone", "Gone"}},
		"TruncateIP of inet": {column: "inet", transform: plan.Transform{With: plan.MethodTruncateIP}, values: append(addresses, "10.1.2.3/8", "NULL"),
			want: append(shortened, "10.1.2.0/8", "NULL")},
		"TruncateIP of cidr": {column: "cidr", transform: plan.Transform{With: plan.MethodTruncateIP}, values: []string{"203.0.113.77/32", "203.0.113.128/25", "10.0.0.0/8", "2001:db8:1:2::/64", "NULL"},
			want: []string{"203.0.113.0/24", "203.0.113.0/24", "10.0.0.0/8", "2001:db8:1::/48", "NULL"}},
		"TruncateIP of text": {column: "varchar(45)", transform: plan.Transform{With: plan.MethodTruncateIP},
			values: append(addresses, " 192.0.2.9 ", "2001:DB8:0:1::5", "fe80::1%eth0", "0:7::1", "", "NULL"),
			want:   append(shortened, "192.0.2.0", "2001:db8::", "fe80::", "0:7::", "", "NULL")},
		"TruncateIP of what is none": {column: "text", transform: plan.Transform{With: plan.MethodTruncateIP}, values: []string{"203.0.113.77", "unknown", "999.1.1.0", "1.2.3.4, 5.6.7.8"},
			want: []string{"203.0.113.0", "unknown", "999.1.1.0", "1.2.3.4, 5.6.7.8"}, left: engine.Leftover{Remaining: 3, Reason: receipt.ValueNotUnderstood}},
		"TruncateDate of timestamptz": {column: "timestamptz", transform: plan.Transform{With: plan.MethodTruncateDate, Unit: "Day"},
			values: []string{"2023-07-14 22:30:00+00", "2023-07-14 21:59:59.999999+00", "infinity", "NULL"},
			want:   []string{"2023-07-14 22:00:00+00", "2023-07-13 22:00:00+00", "infinity", "NULL"}},
		"TruncateDate to the month": {column: "timestamp", transform: plan.Transform{With: plan.MethodTruncateDate, Unit: "Month"}, values: []string{"2023-07-14 22:30:00", "2023-07-01 00:00:00"},
			want: []string{"2023-07-01 00:00:00", "2023-07-01 00:00:00"}},
		"TruncateDate to the year": {column: "date", transform: plan.Transform{With: plan.MethodTruncateDate, Unit: "Year"}, values: []string{"1987-06-05", "1987-01-01", "NULL"},
			want: []string{"1987-01-01", "1987-01-01", "NULL"}},
		"HMAC": {column: "text", transform: plan.Transform{With: plan.MethodHMAC, Key: "key"}, values: []string{"ada@example.com", "", pseudonym("x"), "NULL", "hmac-sha256:no", strings.ToUpper(pseudonym("x")), pseudonym("x") + "0"},
			want: []string{pseudonym("ada@example.com"), pseudonym(""), pseudonym("x"), "NULL", pseudonym("hmac-sha256:no"), pseudonym(strings.ToUpper(pseudonym("x"))), pseudonym(pseudonym("x") + "0")}},
		"HMAC in a domain": {column: "mail", transform: plan.Transform{With: plan.MethodHMAC, Key: "key"}, values: []string{"ada@example.com"}, want: []string{pseudonym("ada@example.com")}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, `CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
				CREATE DOMAIN mail AS varchar(80); CREATE DOMAIN ci AS text COLLATE nocase;
				CREATE TABLE t (n int, at timestamptz, "a ""field" `+test.column+")")
			for i, v := range test.values {
				var value any = v
				if v == "NULL" {
					value = nil
				}
				if _, err := conn.Exec(t.Context(), "INSERT INTO t VALUES ($1, '2023-01-01', $2::text::"+test.column+")", i, value); err != nil {
					t.Fatal(err)
				}
			}
			const now = `SELECT coalesce(regexp_replace("a ""field"::text COLLATE "C", '/(32|128)$', ''), 'NULL') FROM t WHERE at < '2024-01-01' ORDER BY n`
			before := texts(t, conn, now)
			postgres.Exec(t, conn, `INSERT INTO t SELECT n, '2024-01-01 00:00:00.000001+00', "a ""field" FROM t`)
			test.transform.Field = `a "field`
			s := anonymizing(t, dsn, plan.Limits{}, test.transform)
			var changed int64
			for i := range before {
				if before[i] != test.want[i] {
					changed++
				}
			}
			first, _ := carryOut(t, s, 0)
			first.Leftover.Oldest = nil
			first.Counts.Oldest = nil
			want := result{Counts: engine.Counts{Records: int64(2 * len(before)), Matched: changed + test.left.Remaining}, Leftover: test.left, Changed: changed}
			if diff := cmp.Diff(want, first); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(test.want, texts(t, conn, now)); diff != "" {
				t.Error(diff)
			}
			again, _ := carryOut(t, s, 0)
			if again.Matched != test.left.Remaining || again.Changed != 0 || again.Reason != test.left.Reason {
				t.Errorf("a second run found %d and changed %d, %s", again.Matched, again.Changed, again.Reason)
			}
			if diff := cmp.Diff(before, texts(t, conn, strings.Replace(now, "<", ">=", 1))); diff != "" {
				t.Errorf("records that are not due changed:\n%s", diff)
			}
		})
	}
}

func TestAnonymizeCannotBePrepared(t *testing.T) {
	const schema = `CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY, at timestamptz, name varchar(20), lower text GENERATED ALWAYS AS (md5('x')) STORED, age int, bits bit(3));
		CREATE TABLE parent (code text PRIMARY KEY, at timestamptz); CREATE TABLE child (code text CONSTRAINT moves REFERENCES parent ON UPDATE CASCADE)`
	tests := map[string]struct {
		transform plan.Transform
		path      string
		grant     string
		want      *engine.Error
	}{
		"no such field":           {transform: plan.Transform{Field: "x", With: plan.MethodNull}, want: engine.Fail(receipt.FieldNotFound, "t.x")},
		"an identity":             {transform: plan.Transform{Field: "id", With: plan.MethodConstant, Value: "1"}, want: engine.Fail(receipt.TypeNotSupported, "id")},
		"a generated field":       {transform: plan.Transform{Field: "lower", With: plan.MethodNull}, want: engine.Fail(receipt.TypeNotSupported, "lower")},
		"a constant too long":     {transform: plan.Transform{Field: "name", With: plan.MethodConstant, Value: strings.Repeat("é", 21)}, want: engine.Fail(receipt.TypeNotSupported, "name")},
		"a constant of no number": {transform: plan.Transform{Field: "age", With: plan.MethodConstant, Value: "old"}, want: engine.Fail(receipt.TypeNotSupported, "age")},
		"no address":              {transform: plan.Transform{Field: "age", With: plan.MethodTruncateIP}, want: engine.Fail(receipt.TypeNotSupported, "age")},
		"no date":                 {transform: plan.Transform{Field: "name", With: plan.MethodTruncateDate, Unit: "Year"}, want: engine.Fail(receipt.TypeNotSupported, "name")},
		"no unit":                 {transform: plan.Transform{Field: "at", With: plan.MethodTruncateDate, Unit: "Week"}, want: engine.Fail(receipt.TypeNotSupported, "at")},
		"no room for a pseudonym": {transform: plan.Transform{Field: "name", With: plan.MethodHMAC, Key: "key"}, want: engine.Fail(receipt.TypeNotSupported, "name")},
		"no text":                 {transform: plan.Transform{Field: "age", With: plan.MethodHMAC, Key: "key"}, want: engine.Fail(receipt.TypeNotSupported, "age")},
		"a field that moves children": {path: "parent", transform: plan.Transform{Field: "code", With: plan.MethodHMAC, Key: "key"},
			want: engine.Fail(receipt.ForeignKeyBlocks, "moves")},
		"no right to write": {grant: "GRANT SELECT, UPDATE (age) ON t TO ROLE", transform: plan.Transform{Field: "name", With: plan.MethodNull},
			want: engine.Fail(receipt.PermissionDenied, "name")},
		"no key":         {path: "parent", transform: plan.Transform{Field: "code", With: plan.MethodHMAC, Key: "none"}, want: engine.Fail(receipt.ForeignKeyBlocks, "moves")},
		"unknown method": {transform: plan.Transform{Field: "name", With: "Mask"}, want: engine.Fail(receipt.PlanRefused, "Mask")},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, schema)
			if test.grant != "" {
				var role string
				role, dsn = postgres.Get(t).Role(t, dsn)
				postgres.Exec(t, conn, strings.ReplaceAll(test.grant, "ROLE", role))
			}
			s := anonymizing(t, dsn, plan.Limits{}, test.transform)
			if test.path != "" {
				s.in.Plan.Steps[0].Path = test.path
			}
			_, err := s.Prepare(t.Context(), 0)
			if diff := cmp.Diff(error(test.want), err); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnonymizeKey(t *testing.T) {
	for name, test := range map[string]struct {
		file, content, key string
		ok                 bool
	}{
		"good":      {"k", testKey, "k", true},
		"nested":    {"k", testKey, "./k", true},
		"too short": {"k", "0123456789abcde", "k", false},
		"not there": {"k", testKey, "other", false},
		"outside":   {"k", testKey, "../k", false},
		"no name":   {"k", testKey, "", false},
		"raw bytes": {"k", "0123456789abcde\n", "k", true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			got, err := readKey(dir, test.key)
			if test.ok != (err == nil) || err == nil && string(got) != test.content || err != nil && engine.ReasonOf(err) != receipt.SecretIncomplete {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func TestAnonymizeConstraints(t *testing.T) {
	mail := plan.Transform{Field: "mail", With: plan.MethodConstant, Value: "gone"}
	hashed := plan.Transform{Field: "mail", With: plan.MethodHMAC, Key: "key"}
	ip := plan.Transform{Field: "ip", With: plan.MethodTruncateIP}
	const records = "; INSERT INTO t SELECT i, '2020-01-01', 'p' || i || '@example.com', '192.0.2.9' FROM generate_series(1, 500) i"
	tests := map[string]struct {
		schema     string
		transforms []plan.Transform
		// changed records have been touched; remaining are those in which a field stays; ips is how many addresses are cut.
		changed, remaining, ips int64
		constraints             []string
		reason                  receipt.Reason
	}{
		"unique": {schema: "CREATE TABLE t (n int, at timestamptz, mail text CONSTRAINT one UNIQUE, ip inet)", transforms: []plan.Transform{mail},
			changed: 1, remaining: 499, constraints: []string{"one"}, reason: receipt.ConstraintViolated},
		"not null": {schema: "CREATE TABLE t (n int, at timestamptz, mail text NOT NULL, ip inet)", transforms: []plan.Transform{{Field: "mail", With: plan.MethodNull}, ip},
			changed: 500, remaining: 500, ips: 500, constraints: []string{"mail"}, reason: receipt.ConstraintViolated},
		"not null of a domain": {schema: "CREATE DOMAIN must AS text NOT NULL; CREATE TABLE t (n int, at timestamptz, mail must, ip inet)", transforms: []plan.Transform{{Field: "mail", With: plan.MethodNull}, ip},
			changed: 500, remaining: 500, ips: 500, constraints: []string{"mail"}, reason: receipt.ConstraintViolated},
		"check, of some, and their other field": {schema: "CREATE TABLE t (n int, at timestamptz, mail text, ip inet, CONSTRAINT odd CHECK (n % 100 <> 0 OR mail <> 'gone'))", transforms: []plan.Transform{mail, ip},
			changed: 500, remaining: 5, ips: 500, constraints: []string{"odd"}, reason: receipt.ConstraintViolated},
		"check, of a pseudonym": {schema: "CREATE TABLE t (n int, at timestamptz, mail text, ip inet, CONSTRAINT at CHECK (n % 100 <> 0 OR mail LIKE '%@%'))", transforms: []plan.Transform{ip, hashed},
			changed: 500, remaining: 5, ips: 500, constraints: []string{"at"}, reason: receipt.ConstraintViolated},
		"a foreign key": {schema: "CREATE TABLE p (mail text PRIMARY KEY); INSERT INTO p SELECT 'p' || i || '@example.com' FROM generate_series(1, 500) i; CREATE TABLE t (n int, at timestamptz, mail text CONSTRAINT fk REFERENCES p, ip inet)",
			transforms: []plan.Transform{mail, ip}, changed: 500, remaining: 500, ips: 500, constraints: []string{"fk"}, reason: receipt.ConstraintViolated},
		"a deferred constraint": {schema: "CREATE TABLE t (n int, at timestamptz, mail text CONSTRAINT late UNIQUE DEFERRABLE INITIALLY DEFERRED, ip inet)", transforms: []plan.Transform{mail, ip},
			changed: 500, remaining: 499, ips: 500, constraints: []string{"late"}, reason: receipt.ConstraintViolated},
		"a trigger that objects": {schema: `CREATE TABLE t (n int, at timestamptz, mail text, ip inet);
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN IF NEW.n % 100 = 0 THEN RAISE EXCEPTION 'no'; END IF; RETURN NEW; END$$;
			CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()`,
			transforms: []plan.Transform{mail, ip}, changed: 495, remaining: 5, ips: 495, reason: receipt.TriggerBlocks},
		"a trigger that puts the value back": {schema: `CREATE TABLE t (n int, at timestamptz, mail text, ip inet);
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.mail = OLD.mail; RETURN NEW; END$$;
			CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()`,
			transforms: []plan.Transform{mail, ip}, changed: 500, remaining: 500, ips: 500, reason: receipt.TriggerBlocks},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, test.schema+records)
			limits := plan.DefaultLimits
			limits.BatchRecords = 200
			s := anonymizing(t, dsn, limits, test.transforms...)
			got, _ := carryOut(t, s, 0)
			got.Leftover.Oldest, got.Counts.Oldest = nil, nil
			want := result{Counts: engine.Counts{Records: 500, Matched: 500}, Changed: test.changed,
				Leftover: engine.Leftover{Remaining: test.remaining, Constraints: test.constraints, Reason: test.reason}}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
			if cut := postgres.Value[int64](t, conn, "SELECT count(*) FROM t WHERE ip = '192.0.2.0'"); cut != test.ips {
				t.Errorf("%d addresses are cut, want %d", cut, test.ips)
			}
			again, _ := carryOut(t, s, 0)
			if strings.Contains(name, "back") {
				return // it looks as if it had worked each time
			}
			if again.Changed != 0 || again.Remaining != test.remaining || again.Reason != test.reason {
				t.Errorf("a second run changed %d, and left %d, %s", again.Changed, again.Remaining, again.Reason)
			}
		})
	}
}

func TestAnonymizeInBatches(t *testing.T) {
	const records = `INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN '2025-01-01' ELSE '2023-06-15' END::timestamptz - i * interval '1 second',
		'p' || i || '@example.com', ('198.51.100.' || 1 + i % 255)::inet FROM generate_series(1, 20000) i`
	const columns = "(n int, at timestamptz, mail text, ip inet)"
	const partitions = " PARTITION BY RANGE (at); CREATE TABLE a PARTITION OF t FOR VALUES FROM (MINVALUE) TO ('2023-06-15'); CREATE TABLE b PARTITION OF t DEFAULT;"
	ip, mail := plan.Transform{Field: "ip", With: plan.MethodTruncateIP}, plan.Transform{Field: "mail", With: plan.MethodHMAC, Key: "key"}
	tests := map[string]struct {
		schema     string
		transforms []plan.Transform
		grant      string
	}{
		"by the server":              {schema: "CREATE TABLE t " + columns + ";" + records, transforms: []plan.Transform{ip}},
		"by us":                      {schema: "CREATE TABLE t " + columns + ";" + records, transforms: []plan.Transform{ip, mail}},
		"in partitions":              {schema: "CREATE TABLE t " + columns + partitions + records, transforms: []plan.Transform{mail, ip}},
		"in partitions of no rights": {schema: "CREATE TABLE t " + columns + partitions + records, transforms: []plan.Transform{mail, ip}, grant: "GRANT SELECT, UPDATE (ip, mail) ON t TO ROLE"},
		"in children":                {schema: "CREATE TABLE t " + columns + "; CREATE TABLE c () INHERITS (t);" + records + ";" + strings.Replace(records, "INTO t", "INTO c", 1), transforms: []plan.Transform{mail, ip}},
		"out of partitions":          {schema: "CREATE TABLE t " + columns + " PARTITION BY HASH (ip); CREATE TABLE a PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE b PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);" + records, transforms: []plan.Transform{ip, mail}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, test.schema)
			if test.grant != "" {
				var role string
				role, dsn = postgres.Get(t).Role(t, dsn)
				postgres.Exec(t, conn, strings.ReplaceAll(test.grant, "ROLE", role))
			}
			limits := plan.DefaultLimits
			limits.BatchRecords = 1000
			s := anonymizing(t, dsn, limits, test.transforms...)
			due := postgres.Value[int64](t, conn, "SELECT count(*) FROM t WHERE at <= '2024-01-01'")
			kept := texts(t, conn, "SELECT md5(string_agg(t::text, ',' ORDER BY n)) FROM t WHERE at > '2024-01-01'")
			got, progress := carryOut(t, s, 0)
			if got.Matched != due || got.Changed != due || got.Remaining != 0 || progress.largest > 1000 || progress.batches > int(due/1000)*3 {
				t.Errorf("of %d: matched %d, changed %d, left %d, in %d batches, the largest %d", due, got.Matched, got.Changed, got.Remaining, progress.batches, progress.largest)
			}
			for _, tr := range test.transforms {
				not := map[string]string{"ip": "ip <> '198.51.100.0'", "mail": "mail !~ '^hmac-sha256:[0-9a-f]{64}$'"}[tr.Field]
				if n := postgres.Value[int64](t, conn, "SELECT count(*) FROM t WHERE at <= '2024-01-01' AND "+not); n != 0 {
					t.Errorf("%d records have an old %s", n, tr.Field)
				}
			}
			if diff := cmp.Diff(kept, texts(t, conn, "SELECT md5(string_agg(t::text, ',' ORDER BY n)) FROM t WHERE at > '2024-01-01'")); diff != "" {
				t.Error("records that are not due changed")
			}
			if again, _ := carryOut(t, s, 0); again.Matched != 0 || again.Changed != 0 {
				t.Errorf("a second run found %d and changed %d", again.Matched, again.Changed)
			}
		})
	}
}

func TestAnonymizeStopsAndGoesOn(t *testing.T) {
	dsn, conn := database(t, "CREATE TABLE t (at timestamptz, mail text); INSERT INTO t SELECT '2020-01-01', 'p' || i FROM generate_series(1, 5000) i")
	limits := plan.DefaultLimits
	limits.BatchRecords = 500
	s := anonymizing(t, dsn, limits, plan.Transform{Field: "mail", With: plan.MethodHMAC, Key: "key"})
	step := prepared(t, s, 0)
	progress := &recorder{}
	progress.onBatch = func() { progress.stop = progress.batches == 3 }
	if err := step.Purge(t.Context(), progress); err != engine.ErrStopped { //nolint:errorlint // the very value
		t.Fatalf("got %v", err)
	}
	changed := postgres.Value[int64](t, conn, "SELECT count(*) FROM t WHERE mail LIKE 'hmac%'")
	if changed == 0 || changed != progress.committed || progress.batches != 3 {
		t.Errorf("%d changed, %d reported in %d batches", changed, progress.committed, progress.batches)
	}
	got, _ := carryOut(t, s, 0)
	if got.Matched != 5000-changed || got.Changed != 5000-changed || got.Remaining != 0 {
		t.Errorf("after %d of 5000 it went on with %+v", changed, got)
	}
}

func TestTruncatedIPIsFinal(t *testing.T) {
	dsn, conn := database(t, "")
	_ = dsn
	for _, text := range []string{"0.0.0.0", "255.255.255.255", "1::", "::2:3:4:5:6:7:8", "1:0:0:2::3", "0:0:3::", "::ffff:1.2.3.4", "ABCD:EF01:2345:6789::", "fe80::9%en0"} {
		first, ok := truncateIP(text)
		second, again := truncateIP(first)
		if !ok || !again || first != second {
			t.Errorf("%s becomes %s, which becomes %s", text, first, second)
		}
		if !postgres.Value[bool](t, conn, "SELECT $1 ~ $2", first, truncatedIP) {
			t.Errorf("%s becomes %s, which does not look final", text, first)
		}
		if got := postgres.Value[string](t, conn, fmt.Sprintf("SELECT host(%s)", truncateIPIn("inet")("$1::inet", nil)), strings.Split(text, "%")[0]); got != first {
			t.Errorf("%s becomes %s here, and %s on the server", text, first, got)
		}
	}
}
