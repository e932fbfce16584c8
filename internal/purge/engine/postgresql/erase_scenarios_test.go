// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

func references(field, dataset, key string) []plan.Reference {
	return []plan.Reference{{Field: field, Dataset: dataset, Key: key}}
}

func identifiers(kind, field string, match plan.Match) []plan.Identifier {
	return []plan.Identifier{{Type: kind, Field: field, Match: match}}
}

func TestErases(t *testing.T) {
	t.Parallel()
	const users = "CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a@x'), (2, 'b@x');"
	userMap := plan.Dataset{Name: "users", Identifiers: identifiers("email", "email", "")}
	a := []engine.Person{person("email=a@x")}
	for name, c := range map[string]scenario{
		"over many references": {
			schema: users + `CREATE TABLE c1 (id int PRIMARY KEY, u int); CREATE TABLE c2 (id int PRIMARY KEY, c int); CREATE TABLE c3 (id int, c int);
				INSERT INTO c1 VALUES (10, 1), (11, 2), (12, 1); INSERT INTO c2 VALUES (20, 10), (21, 11), (22, 12); INSERT INTO c3 VALUES (30, 20), (31, 21), (32, 22), (33, 22), (34, NULL)`,
			maps: []plan.Dataset{{Name: "c3", References: references("c", "c2", "id")}, {Name: "c2", References: references("c", "c1", "id")},
				{Name: "c1", References: references("u", "users", "id")}, userMap},
			steps: deletes("c3", "c2", "c1", "users"), persons: a,
			gone: map[string]map[int]int64{"c3": {0: 3}, "c2": {0: 2}, "c1": {0: 2}, "users": {0: 1}},
			rest: map[string]string{ids("users"): "2", ids("c1"): "11", ids("c2"): "21", ids("c3"): "31,34"},
		},
		"a tree": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text, up int REFERENCES users);
				INSERT INTO users VALUES (1, 'a@x', NULL), (2, 'b@x', NULL), (3, NULL, 1), (4, NULL, 3), (5, NULL, 2), (6, NULL, 4)`,
			maps:  []plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", ""), References: references("up", "users", "id")}},
			steps: deletes("users"), persons: a,
			gone: map[string]map[int]int64{"users": {0: 4}}, rest: map[string]string{ids("users"): "2,5"},
		},
		"a ring": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text, up int REFERENCES users);
				INSERT INTO users VALUES (1, 'a@x', NULL), (2, 'b@x', NULL), (3, NULL, 1), (4, NULL, 3); UPDATE users SET up = 4 WHERE id = 1; UPDATE users SET up = 2 WHERE id = 2`,
			maps:  []plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", ""), References: references("up", "users", "id")}},
			steps: deletes("users"), persons: a,
			gone: map[string]map[int]int64{"users": {0: 3}}, rest: map[string]string{ids("users"): "2"},
		},
		"a circle of datasets": {
			schema: `CREATE TABLE a (id int PRIMARY KEY, email text, b int); CREATE TABLE b (id int PRIMARY KEY, a int);
				INSERT INTO a VALUES (1, 'a@x', NULL), (2, 'b@x', 12), (3, NULL, 11), (4, NULL, 13); INSERT INTO b VALUES (11, 1), (12, 2), (13, 3)`,
			maps: []plan.Dataset{{Name: "b", References: references("a", "a", "id")},
				{Name: "a", Identifiers: identifiers("email", "email", ""), References: references("b", "b", "id")}},
			steps: deletes("b", "a"), persons: a,
			gone: map[string]map[int]int64{"a": {0: 3}, "b": {0: 2}}, rest: map[string]string{ids("a"): "2", ids("b"): "12"},
		},
		"letters of either case": {
			schema: `CREATE TABLE users (id int, email varchar(30)); INSERT INTO users VALUES (1, 'A@x'), (2, 'a@X'), (3, 'a@xx'), (4, 'ÄÖ@x'), (5, 'äö@X')`,
			maps:   []plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", plan.MatchIgnoreCase)}},
			steps:  deletes("users"), persons: []engine.Person{person("email=a@x"), person("email=äÖ@x")},
			gone: map[string]map[int]int64{"users": {0: 2, 1: 2}}, rest: map[string]string{ids("users"): "3"},
		},
		"exact text": {
			schema: `CREATE TABLE users (id int, email text); INSERT INTO users VALUES (1, 'A@x'), (2, 'a@x'), (3, 'a@x '), (4, ' a@x'), (5, NULL), (6, '')`,
			maps:   []plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", "")}},
			steps:  deletes("users"), persons: a,
			gone: map[string]map[int]int64{"users": {0: 1}}, rest: map[string]string{ids("users"): "1,3,4,5,6"},
		},
		"a collation that ignores case": {
			schema: `CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
				CREATE TABLE users (id int, email text COLLATE ci); INSERT INTO users VALUES (1, 'A@x'), (2, 'a@x')`,
			maps:  []plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", "")}},
			steps: deletes("users"), persons: a,
			gone: map[string]map[int]int64{"users": {0: 1}}, rest: map[string]string{ids("users"): "1"},
		},
		"telephone numbers": {
			schema: `CREATE TABLE calls (id int, phone text); INSERT INTO calls VALUES (1, '+49 30 1234567'), (2, '0049 (30) 12345-67'), (3, '+49 (0)30 1234567'), (4, '030 1234567'),
				(5, '+49301234568'), (6, '+493012345670'), (7, '4930 1234567'), (8, '+49 30 1234567 ext. 9'), (9, 'tel: +49.30.1234567')`,
			maps:  []plan.Dataset{{Name: "calls", Identifiers: identifiers("phone", "phone", plan.MatchE164)}},
			steps: deletes("calls"), persons: []engine.Person{person("phone=0049 30/123 45 67"), person("phone=030 1234567")},
			problems: []receipt.Reason{"", receipt.SubjectUnreadable},
			gone:     map[string]map[int]int64{"calls": {0: 4}}, rest: map[string]string{ids("calls"): "4,5,6,7,8"},
		},
		"odd types": {
			schema: `CREATE DOMAIN nr AS bigint; CREATE TYPE colour AS ENUM ('red', 'blue');
				CREATE TABLE n (id int, no nr); CREATE TABLE u (id int, no uuid); CREATE TABLE c (id int, no char(8)); CREATE TABLE d (id int, no numeric(10,2)); CREATE TABLE e (id int, no colour);
				CREATE TABLE i (id int, no inet); CREATE TABLE b (id int, no bytea); CREATE TABLE s (id int, no smallint);
				INSERT INTO n VALUES (1, 7), (2, 8); INSERT INTO u VALUES (1, '00000000-0000-0000-0000-00000000000a'), (2, NULL); INSERT INTO c VALUES (1, 'red'), (2, 'redd');
				INSERT INTO d VALUES (1, 7), (2, 7.01); INSERT INTO e VALUES (1, 'red'), (2, 'blue'); INSERT INTO i VALUES (1, '10.0.0.1'), (2, '10.0.0.1/24'); INSERT INTO b VALUES (1, '\x0a'), (2, '\x0b');
				INSERT INTO s VALUES (1, 7), (2, 8)`,
			maps: []plan.Dataset{{Name: "n", Identifiers: identifiers("no", "no", "")}, {Name: "u", Identifiers: identifiers("no", "no", "")}, {Name: "c", Identifiers: identifiers("no", "no", "")},
				{Name: "d", Identifiers: identifiers("no", "no", "")}, {Name: "e", Identifiers: identifiers("no", "no", "")}, {Name: "i", Identifiers: identifiers("no", "no", "")},
				{Name: "b", Identifiers: identifiers("no", "no", "")}, {Name: "s", Identifiers: identifiers("no", "no", "")}},
			steps:   deletes("n", "u", "c", "d", "e", "i", "b", "s"),
			persons: []engine.Person{person("no=7"), person("no=red", "no=99999999999999999999999999"), person("no={0000000000000000000000000000000A}", "no=10.0.0.1", `no=\x0a`, "no=1e400")},
			gone:    map[string]map[int]int64{"n": {0: 1}, "d": {0: 1}, "s": {0: 1}, "c": {1: 1}, "e": {1: 1}, "u": {2: 1}, "i": {2: 1}, "b": {2: 1}},
			rest:    map[string]string{ids("n"): "2", ids("u"): "2", ids("c"): "2", ids("d"): "2", ids("e"): "2", ids("i"): "2", ids("b"): "2", ids("s"): "2"},
		},
		"keys of another type": {
			schema: users + `CREATE TABLE c (id int, u text); INSERT INTO c VALUES (1, '1'), (2, '2'), (3, '01'), (4, 'x')`,
			maps:   []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, userMap},
			steps:  deletes("c", "users"), persons: a,
			gone: map[string]map[int]int64{"c": {0: 1}, "users": {0: 1}}, rest: map[string]string{ids("c"): "2,3,4"},
		},
		"quoted names": {
			schema: `CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."Us""ers" ("Id" int PRIMARY KEY, "E-Mail" text); INSERT INTO "My Shop"."Us""ers" VALUES (1, 'a@x'), (2, 'b@x');
				CREATE TABLE "My Shop"."c'd" (id int, "of U" int REFERENCES "My Shop"."Us""ers"); INSERT INTO "My Shop"."c'd" VALUES (1, 1), (2, 2)`,
			maps: []plan.Dataset{{Name: "c", Path: `"My Shop"."c'd"`, References: references("of U", "u", "Id")},
				{Name: "u", Path: `"My Shop"."Us""ers"`, Identifiers: identifiers("email", "E-Mail", "")}},
			steps: deletes("c", "u"), persons: a,
			gone: map[string]map[int]int64{"c": {0: 1}, "u": {0: 1}}, rest: map[string]string{ids(`"My Shop"."c'd"`): "2"},
		},
		"partitions and heirs": {
			schema: `CREATE TABLE users (id int, email text) PARTITION BY HASH (id); CREATE TABLE u0 PARTITION OF users FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE u1 PARTITION OF users FOR VALUES WITH (MODULUS 2, REMAINDER 1);
				INSERT INTO users SELECT i, CASE WHEN i % 3 = 0 THEN 'a@x' ELSE 'b@x' END FROM generate_series(1, 9) i;
				CREATE TABLE c (id int, u int); CREATE TABLE c1 (more text) INHERITS (c); INSERT INTO c VALUES (1, 3), (2, 4); INSERT INTO c1 VALUES (3, 9), (4, 5)`,
			maps:  []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, userMap},
			steps: deletes("c", "users"), persons: a,
			gone: map[string]map[int]int64{"c": {0: 2}, "users": {0: 3}}, rest: map[string]string{ids("users"): "1,2,4,5,7,8", ids("c"): "2,4"},
		},
		"the record with the identifier is gone": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (2, 'b@x'); CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1), (2, 2)`,
			maps:   []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, {Name: "users", Identifiers: append(identifiers("user_id", "id", ""), identifiers("email", "email", "")...)}},
			steps:  deletes("c", "users"), persons: []engine.Person{person("email=a@x", "user_id=1")},
			gone: map[string]map[int]int64{"c": {0: 1}}, rest: map[string]string{ids("users"): "2", ids("c"): "2"},
		},
		"two parties of a message": {
			schema: `CREATE TABLE m (id int PRIMARY KEY, sender text, recipient text, device text); INSERT INTO m VALUES (1, 'a@x', 'b@x', 'da'), (2, 'b@x', 'a@x', 'db'), (3, 'b@x', 'c@x', 'db'), (4, 'a@x', 'a@x', 'da2');
				CREATE TABLE att (id int, m int, device text); INSERT INTO att VALUES (1, 1, 'da3'), (2, 2, 'db'), (3, 3, 'db');
				CREATE TABLE dev (id text); INSERT INTO dev VALUES ('da'), ('da2'), ('da3'), ('db')`,
			maps: []plan.Dataset{{Name: "dev", Identifiers: identifiers("device", "id", "")},
				{Name: "att", Identifiers: identifiers("device", "device", ""), References: references("m", "m", "id")},
				{Name: "m", Identifiers: []plan.Identifier{{Type: "email", Field: "sender"}, {Type: "email", Field: "recipient", Ends: true}, {Type: "device", Field: "device"}}}},
			steps: deletes("dev", "att", "m"), persons: []engine.Person{person("email=a@x"), person("email=c@x")},
			gone: map[string]map[int]int64{"dev": {0: 3}, "att": {0: 2, 1: 1}, "m": {0: 3, 1: 1}},
			rest: map[string]string{ids("m"): "", ids("att"): "", ids("dev"): "db"},
		},
		"a referrer is not the customer": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text, referrer text); INSERT INTO users VALUES (1, 'a@x', NULL), (2, 'b@x', 'a@x'); CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1), (2, 2)`,
			maps: []plan.Dataset{{Name: "c", References: references("u", "users", "id")},
				{Name: "users", Identifiers: []plan.Identifier{{Type: "email", Field: "email"}, {Type: "email", Field: "referrer", Ends: true}}}},
			steps: []plan.ErasureStep{{Dataset: "c", Action: plan.EraseDelete}, {Dataset: "users", Action: plan.EraseAnonymize, Transforms: []plan.Transform{{Field: "referrer", With: plan.MethodNull}}}}, persons: a,
			gone: map[string]map[int]int64{"c": {0: 1}, "users": {0: 1}},
			rest: map[string]string{ids("c"): "2", "SELECT string_agg(id || coalesce(referrer, '-'), ',' ORDER BY id) FROM users": "1-,2-"},
		},
		"identifiers of two persons": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a@x'), (2, 'b@x'), (3, 'c@x'), (4, NULL)`,
			maps:   []plan.Dataset{{Name: "users", Identifiers: append(identifiers("user_id", "id", ""), identifiers("email", "email", "")...)}},
			steps:  deletes("users"), persons: []engine.Person{person("email=a@x", "user_id=2"), person("email=c@x", "user_id=3"), person("email=a@x", "user_id=4")},
			problems: []receipt.Reason{receipt.IdentifiersDisagree, "", receipt.IdentifiersDisagree},
			found:    map[string][]int64{"users": {2, 1, 2}},
			gone:     map[string]map[int]int64{"users": {1: 1}}, rest: map[string]string{ids("users"): "1,2,4"},
			left: map[string]engine.ErasureLeftover{"users": {Persons: []engine.Left{{Remaining: 2}, {}, {Remaining: 2}}, Total: 3, Reason: receipt.IdentifiersDisagree}},
		},
		"identifiers of two persons, over a reference": {
			schema: users + `CREATE TABLE news (id int, u int, phone text); INSERT INTO news VALUES (1, 1, '+1'), (2, 2, '+2')`,
			maps:   []plan.Dataset{{Name: "news", Identifiers: identifiers("phone", "phone", ""), References: references("u", "users", "id")}, userMap},
			steps:  deletes("news", "users"), persons: []engine.Person{person("email=a@x", "phone=+2"), person("email=a@x", "phone=+1")},
			problems: []receipt.Reason{receipt.IdentifiersDisagree, ""},
			gone:     map[string]map[int]int64{"news": {1: 1}, "users": {1: 1}}, rest: map[string]string{ids("news"): "2", ids("users"): "2"},
			left: map[string]engine.ErasureLeftover{"news": {Persons: []engine.Left{{Remaining: 1}, {}}, Total: 1, Reason: receipt.IdentifiersDisagree}},
		},
		"a telephone shared in a family": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text, phone text); INSERT INTO users VALUES (1, 'a@x', '+1'), (2, 'b@x', '+1')`,
			maps:   []plan.Dataset{{Name: "users", Identifiers: append(identifiers("phone", "phone", ""), identifiers("email", "email", "")...)}},
			steps:  deletes("users"), persons: a, problems: []receipt.Reason{receipt.IdentifiersDisagree},
			rest: map[string]string{ids("users"): "1,2"},
			left: map[string]engine.ErasureLeftover{"users": {Persons: []engine.Left{{Remaining: 2}}, Total: 2, Reason: receipt.IdentifiersDisagree}},
		},
		"a number that is given to somebody else meanwhile": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a@x'), (2, 'b@x'); CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, {Name: "users", Identifiers: append(identifiers("user_id", "id", ""), identifiers("email", "email", "")...)}},
			steps:  deletes("c", "users"), persons: a,
			between: []string{"UPDATE users SET email = 'old@x', id = 5 WHERE id = 1; INSERT INTO users VALUES (1, 'new@x')"},
			gone:    map[string]map[int]int64{"c": {0: 1}}, // that was found when number 1 was the person's
			rest:    map[string]string{ids("users"): "1,2,5"},
			left:    map[string]engine.ErasureLeftover{"users": {Persons: []engine.Left{{Remaining: 1}}, Total: 1, Reason: receipt.IdentifiersDisagree}},
		},
		"written meanwhile": {
			schema: users + `CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1), (2, 2)`,
			maps:   []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, userMap},
			steps:  deletes("c", "users"), persons: a,
			between: []string{"INSERT INTO c VALUES (3, 1); INSERT INTO users VALUES (4, 'a@x'); INSERT INTO c VALUES (5, 4)", "INSERT INTO c VALUES (6, 1)"},
			gone:    map[string]map[int]int64{"c": {0: 4}, "users": {0: 2}}, rest: map[string]string{ids("users"): "2", ids("c"): "2"},
		},
		"records move": {
			schema: users + `CREATE TABLE c (id int, u int, pad text); INSERT INTO c SELECT i, 1 + i % 2 FROM generate_series(1, 20) i`,
			maps:   []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, userMap},
			steps:  deletes("c", "users"), persons: a,
			between: []string{"UPDATE c SET pad = 'x' WHERE id < 10; UPDATE c SET u = 2 WHERE id = 12; DELETE FROM c WHERE id = 14;; VACUUM FULL c"},
			gone:    map[string]map[int]int64{"c": {0: 8}, "users": {0: 1}}, rest: map[string]string{ids("c"): "1,3,5,7,9,11,12,13,15,17,19"},
		},
	} {
		t.Run(name, c.run)
	}
}
