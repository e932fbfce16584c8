// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

// person is a hold on the records of a person.
func person(name, uid string, datasets ...string) HoldInput {
	return HoldInput{Name: name, UID: uid, Datasets: datasets, Subject: true}
}

// where is a hold on the records that meet a condition.
func where(name, uid string, c Condition, datasets ...string) HoldInput {
	return HoldInput{Name: name, UID: uid, Datasets: datasets, Condition: &c}
}

// holdScenarios are retention runs beside holds.
func holdScenarios() map[string]Plan {
	billing := policy("billing",
		Rule{Name: "old", DataClasses: names("billing"), DeleteAfter: "P3Y", StartingFrom: "invoice.invoice_date"},
		Rule{Name: "log", Datasets: names("access_log"), DeleteAfter: "P30D"},
		Rule{Name: "ip", Datasets: names("access_log"), DeleteAfter: "P7D", Action: Anonymize,
			Transforms: []Transform{{Field: "ip", With: MethodNull}, {Field: "at", With: MethodNull}}})
	law := policy("law", Rule{Name: "tax", Datasets: names("invoice"), RetainAtLeast: "P7Y"},
		Rule{Name: "open", Datasets: names("invoice_line"), RetainAtLeast: "P1Y", StartingFrom: "case.closed_at"})
	run := func(mode Mode, holds ...HoldInput) Plan {
		billing := billing
		billing.Mode = mode
		return Compile(Input{Run: "run-1", Policy: billing, Others: []Policy{law}, Holds: holds, Datastore: shop(), Slot: slot})
	}
	return map[string]Plan{
		"hold-whole": run("", HoldInput{Name: "strike-2", UID: "1", DataClasses: names("billing")},
			HoldInput{Name: "strike-1", UID: "2", Datasets: names("invoice_line", "gone")},
			HoldInput{Name: "not-here", UID: "3", Datasets: names("gone"), DataClasses: names("gone")}),
		"hold-everything": run(Simulate, HoldInput{Name: "seizure", UID: "1"}),
		"hold-records": run("", where("case-2", "2", Condition{Field: "number", Operator: OperatorIn, Values: names("7", "8")}, "invoice"),
			where("case-3", "3", Condition{Field: "at", Operator: OperatorExists}, "nowhere"),
			person("case-1", "1")),
		"hold-records-with-children": run(Simulate,
			where("case", "1", Condition{Field: "closed", Operator: OperatorDoesNotExist}, "invoice")),
		"count-held": CompileCountHeld(shop(), []HoldInput{person("b", "2"), {Name: "whole", UID: "3"},
			where("a", "1", Condition{Field: "at", Operator: OperatorAtLeast, Values: names("2026-01-01")}, "access_log", "invoice")}),
	}
}

// erasureScenarios are erasures.
func erasureScenarios() map[string]Plan {
	requests := []Request{{Ref: Ref{Namespace: "shop", Name: "dsr-1", UID: "u1", Generation: 1}, Commit: true},
		{Ref: Ref{Namespace: "shop", Name: "dsr-2", UID: "u2", Generation: 1}}}
	in := ErasureInput{Run: "erase-1", SealTo: "age1xyz", Requests: requests, Datastore: shop(), Slot: slot}
	find, held, unclear, never := in, in, in, in
	find.Mode, find.Requests = Simulate, requests[1:]
	suspended := policy("law", Rule{Name: "tax", Datasets: names("invoice"), RetainAtLeast: "P7Y", LegalBasis: "tax law"},
		Rule{Name: "audit", Datasets: names("invoice"), RetainAtLeast: "P5Y"},
		Rule{Name: "warranty", Datasets: names("invoice"), RetainAtLeast: "P2Y", StartingFrom: "customer.left_at", DeleteAfter: "P3Y"})
	suspended.Suspended = true
	in.Policies = []Policy{suspended, policy("blur", Rule{Name: "ip", Datasets: names("access_log"), DeleteAfter: "P1Y"})}
	in.Holds = []HoldInput{person("case-1", "1", "invoice")}
	held.Holds = []HoldInput{{Name: "strike-2", UID: "1", Datasets: names("access_log", "rate")},
		{Name: "strike-1", UID: "2", Datasets: names("access_log")},
		where("case", "0", Condition{Field: "country", Operator: OperatorNotIn, Values: names("DE")}, "customer")}
	unclear.Policies = []Policy{policy("law", Rule{Name: "open", DataClasses: names("billing"), RetainAtLeast: "P1Y", StartingFrom: "case.closed_at"})}
	never.Slot, never.Datastore = time.Time{}, chinook()
	never.Datastore.Datasets[0].Identifiers = []Identifier{{Type: "email", Field: "email"}}
	circles := in
	circles.Policies, circles.Holds = nil, nil
	circles.Datastore = store(
		identified(table("account", "", [3]string{"invited_by", "account", "id"}), "email", "email", "customer_id", "id", "phone", "phone"),
		identified(table("login", ""), "customer_id", "account"),
		table("device", "", [3]string{"last_session", "session", "id"}),
		table("session", "", [3]string{"device_id", "device", "id"}, [3]string{"account_id", "account", "id"}),
		identified(table("newsletter", ""), "email", "address"),
		table("event", "", [3]string{"session_id", "session", "id"}))
	return map[string]Plan{
		"erasure":                  CompileErasure(in),
		"erasure-find":             CompileErasure(find),
		"erasure-held":             CompileErasure(held),
		"erasure-unclear":          CompileErasure(unclear),
		"erasure-implausible-slot": CompileErasure(never),
		"erasure-cycles":           CompileErasure(circles),
		"intake":                   CompileIntake("intake-1", "age1xyz", names("phone", "email", "phone"), requests[:1]),
		"probe-erasure":            CompileProbe(shop(), nil),
	}
}

// identified returns the dataset with identifiers, written type, field, type, field.
func identified(d Dataset, identifiers ...string) Dataset {
	for i := 0; i < len(identifiers); i += 2 {
		d.Identifiers = append(d.Identifiers, Identifier{Type: identifiers[i], Field: identifiers[i+1]})
	}
	return d
}

// shop has a customer with invoices, a log, staff that no identifier leads to, and each kind of onErasure.
func shop() Datastore {
	log := identified(table("access_log", "at"), "email", "login", "email", "on_behalf_of", "customer_id", "customer")
	log.Path = "web.access_log"
	log.Identifiers[0].Match, log.Identifiers[1].Ends = MatchIgnoreCase, true
	s := store(
		identified(table("customer", "created_at", [3]string{"support_rep_id", "employee", "employee_id"}),
			"email", "email", "customer_id", "customer_id"),
		table("employee", "hired_at"),
		log,
		classed("billing", table("invoice", "invoice_date", [3]string{"customer_id", "customer", "customer_id"})),
		classed("billing", table("invoice_line", "", [3]string{"invoice_id", "invoice", "invoice_id"})),
		table("rate", "", [3]string{"customer_id", "customer", "customer_id"}),
	)
	s.OnErasure = map[string]OnErasure{
		"customer": {Action: EraseDelete},
		"access_log": {Action: EraseAnonymize, Transforms: []Transform{{Field: "ip", With: MethodTruncateIP},
			{Field: "login", With: MethodHMAC, Key: "hmac/log"}, {Field: "customer", With: MethodNull}}},
		"invoice":      {Action: EraseAnonymize, Transforms: []Transform{{Field: "customer_id", With: MethodNull}}},
		"invoice_line": {Action: EraseRetain, LegalBasis: "tax law, 7 years"},
	}
	return s
}
