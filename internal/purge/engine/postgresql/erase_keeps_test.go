// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// What must stay stays, and is told from what could not be erased.
func TestErasureKeeps(t *testing.T) {
	t.Parallel()
	const users = "CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a@x'), (2, 'b@x');"
	userMap := plan.Dataset{Name: "users", Identifiers: identifiers("email", "email", "")}
	cMap := plan.Dataset{Name: "c", References: references("u", "users", "id")}
	a := []engine.Person{person("email=a@x")}
	action := func(action plan.ErasureAction) []plan.ErasureStep {
		return []plan.ErasureStep{{Dataset: "c", Action: action, LegalBasis: "law"}, {Dataset: "users", Action: plan.EraseDelete}}
	}
	only := func(name string, left engine.Left, constraints ...string) map[string]engine.ErasureLeftover {
		return map[string]engine.ErasureLeftover{name: {Persons: []engine.Left{left}, Total: left.Remaining, Constraints: constraints}}
	}
	obliged := func() []plan.ErasureStep {
		steps := action(plan.EraseDelete)
		steps[0].Obligations = []plan.Obligation{{Start: plan.Start{Field: "at", Format: plan.Native}, Cutoff: day("2020-01-01")}}
		return steps
	}
	for name, c := range map[string]scenario{
		"no action": {
			schema: users + `CREATE TABLE other (id int, u int CONSTRAINT needs REFERENCES users); INSERT INTO other VALUES (1, 1)`,
			maps:   []plan.Dataset{userMap}, steps: deletes("users"), persons: a,
			left: only("users", engine.Left{Remaining: 1, Blocked: 1}, "needs"), rest: map[string]string{ids("users"): "1,2"},
		},
		"cascade into what nobody knows of": {
			schema: users + `CREATE TABLE other (id int, u int CONSTRAINT takes REFERENCES users ON DELETE CASCADE); INSERT INTO other VALUES (1, 1)`,
			maps:   []plan.Dataset{userMap}, steps: deletes("users"), persons: a,
			left: only("users", engine.Left{Remaining: 1, Blocked: 1}, "takes"), rest: map[string]string{ids("users"): "1,2", ids("other"): "1"},
		},
		"set null of what is retained": {
			schema: users + `CREATE TABLE c (id int, u int CONSTRAINT forgets REFERENCES users ON DELETE SET NULL); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{cMap, userMap}, steps: action(plan.EraseRetain), persons: a,
			left: only("users", engine.Left{Remaining: 1, Blocked: 1, Bound: 1}, "forgets"), rest: map[string]string{"SELECT u::text FROM c": "1"},
		},
		"retained over two references": {
			schema: users + `CREATE TABLE b (id int PRIMARY KEY, u int CONSTRAINT b_u REFERENCES users); CREATE TABLE c (id int, u int CONSTRAINT c_b REFERENCES b);
				INSERT INTO b VALUES (10, 1), (11, 1); INSERT INTO c VALUES (20, 10)`,
			maps:  []plan.Dataset{{Name: "c", References: references("u", "b", "id")}, {Name: "b", References: references("u", "users", "id")}, userMap},
			steps: append(action(plan.EraseRetain)[:1], deletes("b", "users")...), persons: a,
			gone: map[string]map[int]int64{"b": {0: 1}},
			left: map[string]engine.ErasureLeftover{"b": {Persons: []engine.Left{{Remaining: 1, Blocked: 1, Bound: 1}}, Total: 1, Constraints: []string{"c_b"}},
				"users": {Persons: []engine.Left{{Remaining: 1, Blocked: 1, Bound: 1}}, Total: 1, Constraints: []string{"b.u", "b_u"}}},
		},
		"retained without a constraint": {
			schema: users + `CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{cMap, userMap}, steps: action(plan.EraseRetain), persons: a,
			found: map[string][]int64{"c": {1}}, gone: map[string]map[int]int64{"users": {0: 1}}, rest: map[string]string{ids("c"): "1"},
		},
		"undeclared": {
			schema: users + `CREATE TABLE c (id int, u int CONSTRAINT needs REFERENCES users); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{cMap, userMap}, steps: action(plan.EraseUndeclared), persons: a,
			left: only("users", engine.Left{Remaining: 1, Blocked: 1}, "c.u", "needs"),
		},
		"undeclared, and found again by its identifier": {
			schema: users + `CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{cMap, {Name: "users", Identifiers: append(identifiers("user_id", "id", ""), userMap.Identifiers...)}},
			steps:  action(plan.EraseUndeclared), persons: a,
			gone: map[string]map[int]int64{"users": {0: 1}}, rest: map[string]string{ids("c"): "1"},
		},
		"held as a whole, and found by nothing else": {
			schema: users + `CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{{Name: "c", References: cMap.References, Held: true}, userMap},
			steps:  []plan.ErasureStep{{Dataset: "c", Action: plan.EraseDelete, HeldBy: []string{"h"}}, {Dataset: "users", Action: plan.EraseDelete}}, persons: a,
			left: only("users", engine.Left{Remaining: 1, Blocked: 1, Bound: 1}, "c.u"),
		},
		"held under another name": {
			schema: users, maps: []plan.Dataset{userMap, {Name: "same", Path: "public.users", Held: true}}, steps: deletes("users"), persons: a,
			left: only("users", engine.Left{Held: 1}), rest: map[string]string{ids("users"): "1,2"},
		},
		"obliged": {
			schema: users + `CREATE TABLE c (id int, u int CONSTRAINT needs REFERENCES users, at date); INSERT INTO c VALUES (1, 1, '2019-01-01'), (2, 1, '2021-01-01'), (3, 1, NULL), (4, 2, '2019-01-01')`,
			maps:   []plan.Dataset{cMap, userMap}, steps: obliged(), persons: a,
			found: map[string][]int64{"c": {3}}, gone: map[string]map[int]int64{"c": {0: 1}}, rest: map[string]string{ids("c"): "2,3,4"},
			left: map[string]engine.ErasureLeftover{"c": {Persons: []engine.Left{{Retained: 2}}},
				"users": {Persons: []engine.Left{{Remaining: 1, Blocked: 1, Bound: 1}}, Total: 1, Constraints: []string{"needs"}}},
		},
		"a trigger says no": {
			schema: users + `CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; CREATE TRIGGER no BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION no()`,
			maps:   []plan.Dataset{userMap}, steps: deletes("users"), persons: a,
			left: map[string]engine.ErasureLeftover{"users": {Persons: []engine.Left{{Remaining: 1}}, Total: 1, Reason: receipt.TriggerBlocks}},
		},
		"a trigger objects to one record": {
			schema: `CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT i, 'a@x' FROM generate_series(1, 9) i;
				CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = 4 THEN RAISE 'no'; END IF; RETURN OLD; END $$; CREATE TRIGGER no BEFORE DELETE ON users FOR EACH ROW EXECUTE FUNCTION no()`,
			maps: []plan.Dataset{userMap}, steps: deletes("users"), persons: a, failed: map[string]receipt.Reason{"users": receipt.TriggerBlocks},
			gone: map[string]map[int]int64{"users": {0: 8}}, rest: map[string]string{ids("users"): "4"},
			left: map[string]engine.ErasureLeftover{"users": {Persons: []engine.Left{{Remaining: 1}}, Total: 1, Reason: receipt.TriggerBlocks}},
		},
		"what refers to it cannot be found": {
			schema: users + `CREATE TABLE c (id int); INSERT INTO c VALUES (1)`,
			maps:   []plan.Dataset{cMap, userMap}, steps: deletes("c", "users"), persons: a,
			failed: map[string]receipt.Reason{"c": receipt.FieldNotFound, "users": receipt.FieldNotFound}, rest: map[string]string{ids("users"): "1,2"},
		},
		"anonymized": {
			schema: users + `CREATE TABLE c (id int, u int REFERENCES users, name text, ip text); INSERT INTO c SELECT i, 1 + i % 2, 'n' || i, '10.1.2.' || i FROM generate_series(1, 6) i; CREATE TABLE l (id int, c int); INSERT INTO l VALUES (1, 2), (2, 3)`,
			maps:   []plan.Dataset{{Name: "l", References: references("c", "c", "id")}, cMap, userMap},
			steps: []plan.ErasureStep{{Dataset: "l", Action: plan.EraseDelete}, {Dataset: "c", Action: plan.EraseAnonymize, Transforms: []plan.Transform{
				{Field: "u", With: plan.MethodNull}, {Field: "name", With: plan.MethodConstant, Value: "x"}, {Field: "ip", With: plan.MethodTruncateIP}}}, {Dataset: "users", Action: plan.EraseDelete}},
			persons: a, gone: map[string]map[int]int64{"l": {0: 1}, "c": {0: 3}, "users": {0: 1}},
			rest: map[string]string{"SELECT string_agg(id || name || ip || coalesce(u::text, '-'), ',' ORDER BY id) FROM c": "1n110.1.2.12,2x10.1.2.0-,3n310.1.2.32,4x10.1.2.0-,5n510.1.2.52,6x10.1.2.0-", ids("l"): "2"},
		},
		"anonymized, but for one record": {
			schema: `CREATE TABLE users (id int, email text, name text, CHECK (id <> 3 OR name <> 'x')); INSERT INTO users SELECT i, 'a@x', 'n' FROM generate_series(1, 5) i; INSERT INTO users VALUES (6, 'b@x', 'n'), (7, 'a@x', 'x')`,
			maps:   []plan.Dataset{userMap}, persons: a,
			steps: []plan.ErasureStep{{Dataset: "users", Action: plan.EraseAnonymize, Transforms: []plan.Transform{{Field: "name", With: plan.MethodConstant, Value: "x"}}}},
			found: map[string][]int64{"users": {6}}, gone: map[string]map[int]int64{"users": {0: 4}},
			rest: map[string]string{"SELECT string_agg(id::text, ',' ORDER BY id) FROM users WHERE name = 'x'": "1,2,4,5,7"},
			left: map[string]engine.ErasureLeftover{"users": {Persons: []engine.Left{{Remaining: 1}}, Total: 1, Reason: receipt.ConstraintViolated, Constraints: []string{"users_check"}}},
		},
		"one table under two names, of which one retains": {
			schema: users, maps: []plan.Dataset{userMap, {Name: "c", Path: "public.users", Identifiers: userMap.Identifiers}}, persons: a,
			steps: action(plan.EraseRetain), left: only("users", engine.Left{Retained: 1}), rest: map[string]string{ids("users"): "1,2"},
		},
		"one table under two names, of which one is retained by a policy and leads to nobody": {
			schema: users, maps: []plan.Dataset{userMap, {Name: "c", Path: "public.users", Protected: true}}, persons: a,
			steps: []plan.ErasureStep{{Dataset: "users", Action: plan.EraseDelete}}, left: only("users", engine.Left{Retained: 1}), rest: map[string]string{ids("users"): "1,2"},
		},
		"partitions are anonymized": {
			schema: `CREATE TABLE users (id int, email text, at date) PARTITION BY LIST (at); CREATE TABLE u0 PARTITION OF users FOR VALUES IN ('2020-01-01'); CREATE TABLE u1 PARTITION OF users FOR VALUES IN ('2020-01-02', '2020-01-03');
				INSERT INTO users SELECT i, CASE WHEN i % 2 = 0 THEN 'a@x' ELSE 'b@x' END, date '2020-01-01' + i % 3 FROM generate_series(1, 12) i`,
			maps: []plan.Dataset{userMap}, persons: a,
			steps: []plan.ErasureStep{{Dataset: "users", Action: plan.EraseAnonymize, Transforms: []plan.Transform{{Field: "at", With: plan.MethodTruncateDate, Unit: "Year"}}}},
			gone:  map[string]map[int]int64{"users": {0: 4}}, rest: map[string]string{ids("u0"): "2,3,4,6,8,9,10,12", ids("u1"): "1,5,7,11"},
		},
		"anonymized once nothing else is led to": {
			schema: users + `CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1)`,
			maps:   []plan.Dataset{cMap, userMap}, persons: a,
			steps: []plan.ErasureStep{{Dataset: "c", Action: plan.EraseUndeclared}, {Dataset: "users", Action: plan.EraseAnonymize, Transforms: []plan.Transform{{Field: "email", With: plan.MethodNull}}}},
			left:  only("users", engine.Left{Remaining: 1, Blocked: 1}, "c.u"), rest: map[string]string{"SELECT string_agg(email, ',') FROM users": "a@x,b@x"},
		},
		"shared by two persons": {
			schema: `CREATE TABLE users (id int, email text, name text); INSERT INTO users VALUES (1, 'a@x', 'n'), (2, 'b@x', 'n');
				CREATE TABLE m (id int, s text, r text); INSERT INTO m VALUES (1, 'a@x', 'b@x'), (2, 'b@x', 'c@x'), (3, 'c@x', 'd@x')`,
			maps:    []plan.Dataset{{Name: "m", Identifiers: []plan.Identifier{{Type: "email", Field: "s"}, {Type: "email", Field: "r", Ends: true}}}, userMap},
			steps:   []plan.ErasureStep{{Dataset: "m", Action: plan.EraseDelete}, {Dataset: "users", Action: plan.EraseAnonymize, Transforms: []plan.Transform{{Field: "name", With: plan.MethodNull}}}},
			persons: []engine.Person{person("email=a@x"), person("email=b@x")}, found: map[string][]int64{"m": {1, 2}, "users": {1, 1}},
			gone: map[string]map[int]int64{"m": {0: 1, 1: 2}, "users": {0: 1, 1: 1}}, rest: map[string]string{ids("m"): "3"},
		},
	} {
		t.Run(name, c.run)
	}
}
