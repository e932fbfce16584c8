// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"maps"
	"time"
)

// scenarios are the situations that the golden files show, by name.
func scenarios() map[string]Plan {
	out := map[string]Plan{
		"chinook": compile(policy("invoices",
			Rule{Name: "bookkeeping", Datasets: names("invoice", "invoice_line"), DeleteAfter: "P3Y",
				StartingFrom: "invoice.invoice_date"}),
			chinook()),
		"chinook-without-lines": compile(policy("invoices",
			Rule{Name: "bookkeeping", Datasets: names("invoice"), DeleteAfter: "P3Y"}),
			chinook()),
		"named-beats-class": compile(policy("contacts",
			Rule{Name: "contacts", DataClasses: names("contact"), DeleteAfter: "P30D"},
			Rule{Name: "vip", Datasets: names("vip"), DeleteAfter: "P10Y"}),
			store(classed("contact", table("lead", "created_at")), classed("contact", table("vip", "created_at")))),
		"shortest-wins": compile(policy("cookies",
			Rule{Name: "year", DataClasses: names("cookies"), DeleteAfter: "P1Y"},
			Rule{Name: "eleven", DataClasses: names("cookies"), DeleteAfter: "P11M"},
			Rule{Name: "again", DataClasses: names("cookies"), DeleteAfter: "P11M"},
			Rule{Name: "consent-ended", DataClasses: names("cookies"), DeleteAfter: "P2Y", StartingFrom: "revoked_at"}),
			store(classed("cookies", table("cookie_consent", "created_at")))),
		"retained-longer": compile(policy("invoices",
			Rule{Name: "old", Datasets: names("invoice"), DeleteAfter: "P3Y"},
			Rule{Name: "audit", DataClasses: names("billing"), RetainAtLeast: "P5Y", LegalBasis: "audit contract"},
			Rule{Name: "tax", Datasets: names("invoice"), RetainAtLeast: "P7Y", LegalBasis: "tax law, 7 years"}),
			store(classed("billing", table("invoice", "invoice_date")), classed("billing", table("dunning", "sent_at")))),
		"several-obligations-and-zones": severalObligations(),
		"periods-contradict": compile(policy("invoices",
			Rule{Name: "both", Datasets: names("invoice"), DeleteAfter: "P3Y", RetainAtLeast: "P7Y"},
			Rule{Name: "fine", Datasets: names("dunning"), DeleteAfter: "P3Y", RetainAtLeast: "P1Y"}),
			store(table("invoice", "invoice_date"), table("dunning", "sent_at"))),
		"cycle": compile(policy("all", Rule{Name: "all", DataClasses: names("hr"), DeleteAfter: "P1Y"}),
			store(classed("hr", table("department", "created_at", [3]string{"head_id", "employee", "id"})),
				classed("hr", table("employee", "created_at", [3]string{"department_id", "department", "id"})),
				classed("hr", table("payslip", "created_at", [3]string{"employee_id", "employee", "id"})))),
		"self-reference": compile(policy("all",
			Rule{Name: "left", Datasets: names("employee"), DeleteAfter: "P1Y", StartingFrom: "employee.left_at"}),
			store(table("employee", "hired_at", [3]string{"manager_id", "employee", "id"}))),
		"ambiguous-reference": compile(policy("messages",
			Rule{Name: "closed", Datasets: names("message"), DeleteAfter: "P1Y", StartingFrom: "account.closed_at"}),
			store(table("account", "created_at"),
				table("message", "sent_at", [3]string{"sender_id", "account", "id"}, [3]string{"recipient_id", "account", "id"}))),
		"longer-way-is-no-ambiguity": compile(policy("notes",
			Rule{Name: "closed", Datasets: names("note"), DeleteAfter: "P1Y", StartingFrom: "account.closed_at"}),
			store(table("account", "created_at"),
				table("ticket", "opened_at", [3]string{"account_id", "account", "id"}),
				table("note", "", [3]string{"ticket_id", "ticket", "id"}, [3]string{"account_id", "account", "id"}))),
		"three-hops": compile(policy("shipping",
			Rule{Name: "customers-gone", DataClasses: names("orders"), DeleteAfter: "P6M", StartingFrom: "customer.contract_ended_at"}),
			store(classed("orders", table("customer", "created_at")),
				classed("orders", table("purchase", "bought_at", [3]string{"customer_id", "customer", "id"})),
				classed("orders", table("parcel", "", [3]string{"purchase_id", "purchase", "id"})),
				classed("orders", table("scan", "", [3]string{"parcel_no", "parcel", "number"})))),
		"missing-timestamp": compile(policy("contacts",
			Rule{Name: "contacts", DataClasses: names("contact"), DeleteAfter: "P30D", StartingFrom: "created_at"},
			Rule{Name: "phone", Datasets: names("phone"), DeleteAfter: "P10Y"}),
			store(classed("contact", table("address", "")), classed("contact", table("phone", "")))),
		"no-reference": compile(policy("contacts",
			Rule{Name: "unknown", Datasets: names("address"), DeleteAfter: "P30D", StartingFrom: "customers.ended_at"},
			Rule{Name: "unconnected", Datasets: names("phone"), DeleteAfter: "P30D", StartingFrom: "customer.ended_at"},
			Rule{Name: "own-field", Datasets: names("fax"), DeleteAfter: "P30D", StartingFrom: "customer"}),
			store(table("customer", "created_at"), table("address", "created_at"), table("phone", "created_at"),
				table("fax", "created_at", [3]string{"customer", "customer", "id"}))),
		"invalid-rules": compile(policy("contacts",
			Rule{Name: "thirty", Datasets: names("address"), DeleteAfter: "30 days"},
			Rule{Name: "class", DataClasses: names("contact"), DeleteAfter: "P1Y"},
			Rule{Name: "half", Datasets: names("phone"), DeleteAfter: "P1Y", StartingFrom: "customer."}),
			store(classed("contact", table("address", "created_at")), classed("contact", table("phone", "created_at")))),
		"obligation-unclear": compile(policy("short",
			Rule{Name: "all", DataClasses: names("billing"), DeleteAfter: "P1Y"},
			Rule{Name: "own", Datasets: names("dunning"), RetainAtLeast: "7 years"},
			Rule{Name: "receipts", Datasets: names("receipt"), RetainAtLeast: "P1Y"}),
			store(classed("billing", table("invoice", "invoice_date")), classed("billing", table("dunning", "sent_at")),
				classed("billing", table("voucher", "used_at")), table("receipt", "")),
			Policy{Ref: Ref{Namespace: "shop", Name: "law"}, Rules: []Rule{{Name: "tax", Datasets: names("invoice"), RetainAtLeast: "P7Y"}}}),
		"anonymize-by-field": compile(policy("logs",
			Rule{Name: "log", DataClasses: names("log"), DeleteAfter: "P1Y"},
			Rule{Name: "addresses", DataClasses: names("log"), DeleteAfter: "P30D", Action: Anonymize, Transforms: []Transform{
				{Field: "ip", With: MethodTruncateIP}, {Field: "agent", With: MethodNull}}},
			Rule{Name: "addresses-late", DataClasses: names("log"), DeleteAfter: "P90D", Action: Anonymize, Transforms: []Transform{
				{Field: "ip", With: MethodNull}, {Field: "seen_on", With: MethodTruncateDate, Unit: "Month"}}},
			Rule{Name: "agents", Datasets: names("access_log"), DeleteAfter: "P60D", Action: Anonymize, Transforms: []Transform{
				{Field: "agent", With: MethodConstant, Value: "gone"}, {Field: "user_id", With: MethodHMAC, Key: "hmac/log"}}}),
			store(classed("log", table("access_log", "at")))),
		"anonymize-retained": compile(policy("logs",
			Rule{Name: "addresses", Datasets: names("access_log"), DeleteAfter: "P30D", Action: Anonymize, Transforms: []Transform{
				{Field: "ip", With: MethodTruncateIP}}},
			Rule{Name: "police", Datasets: names("access_log"), RetainAtLeast: "P10W", LegalBasis: "traffic data act"}),
			store(table("access_log", "at"))),
		"starting-point-rewritten": compile(policy("logs",
			Rule{Name: "blur", Datasets: names("invoice"), DeleteAfter: "P30D", Action: Anonymize, Transforms: []Transform{
				{Field: "invoice_date", With: MethodTruncateDate, Unit: "Year"}, {Field: "id", With: MethodHMAC, Key: "hmac/log"},
				{Field: "note", With: MethodNull}}},
			Rule{Name: "lines", Datasets: names("invoice_line"), DeleteAfter: "P3Y", StartingFrom: "invoice.invoice_date"},
			Rule{Name: "logins", Datasets: names("account"), DeleteAfter: "P90D", StartingFrom: "last_login_at", Action: Anonymize,
				Transforms: []Transform{{Field: "last_login_at", With: MethodNull}}}),
			store(table("invoice", "invoice_date"), table("invoice_line", "", [3]string{"invoice_id", "invoice", "id"}),
				table("account", "created_at"))),
		"other-policies":            otherPolicies(""),
		"other-policies-simulating": otherPolicies(Simulate),
		"leap-day":                  compileAt("2028-02-29T03:00:00Z", "UTC", "P1M", "P1Y", "P4Y", "P365D"),
		"month-end":                 compileAt("2026-02-28T12:00:00Z", "UTC", "P1M", "P30D", "P1Y"),
		"clock-set-forward":         compileAt("2026-03-29T01:30:00Z", "Europe/Berlin", "P1D", "PT24H", "P1M"),
		"clock-set-back":            compileAt("2026-10-25T01:30:00Z", "Europe/Berlin", "P1D", "PT24H", "P1M"),
		"matches-nothing": compile(policy("typos",
			Rule{Name: "tax", Datasets: names("invoices"), RetainAtLeast: "P7Y"},
			Rule{Name: "old", Datasets: names("invoice", "dunnings"), DataClasses: names("bills"), DeleteAfter: "P3Y"}),
			store(table("invoice", "invoice_date"), classed("log", table("access_log", "at")), table("other", ""))),
		"number-timestamps": compile(policy("telemetry",
			Rule{Name: "events", Datasets: names("event"), DeleteAfter: "P90D"},
			Rule{Name: "readings", Datasets: names("reading"), DeleteAfter: "P90D", StartingFrom: "event.ts"},
			Rule{Name: "acks", Datasets: names("ack"), DeleteAfter: "P90D", StartingFrom: "event.acked_at"}),
			store(Dataset{Name: "event", Path: "iot.event", TimestampField: "ts", TimestampFormat: UnixMilliseconds},
				table("reading", "", [3]string{"event_id", "event", "id"}), table("ack", "", [3]string{"event_id", "event", "id"}))),
		"child-stays-longer": compile(policy("invoices",
			Rule{Name: "invoices", Datasets: names("invoice"), DeleteAfter: "P1Y"},
			Rule{Name: "lines", Datasets: names("invoice_line"), DeleteAfter: "P3Y", StartingFrom: "invoice.invoice_date"}),
			chinook()),
		"probe": CompileProbe(store(table("account", "created_at"), table("access_log", "at", [3]string{"account_id", "account", "id"}),
			table("invoice", "", [3]string{"account_id", "account", "id"})), []Policy{
			policy("closed",
				Rule{Name: "closed", Datasets: names("account", "access_log"), DeleteAfter: "P30D", StartingFrom: "account.closed_at"},
				Rule{Name: "ip", Datasets: names("access_log"), DeleteAfter: "P30D", Action: Anonymize,
					Transforms: []Transform{{Field: "ip", With: MethodTruncateIP}}}),
			{Ref: Ref{Namespace: "shop", Name: "law"}, Mode: Simulate, Zone: time.UTC, Rules: []Rule{
				{Name: "tax", Datasets: names("invoice"), RetainAtLeast: "P7Y", DeleteAfter: "P8Y", StartingFrom: "issued_on"}}},
		}),
	}
	guarded := policy("cookies", Rule{Name: "cookies", DataClasses: names("cookies"), DeleteAfter: "P11M", LegalBasis: "consent ends"})
	guarded.Mode, guarded.Ref.Generation, guarded.Guardrails = Simulate, 4, Guardrails{MaxRecords: 1000, MaxPercent: 20}
	cookies := store(classed("cookies", table("cookie_consent", "created_at")))
	cookies.TimeZone = "Asia/Taipei"
	out["simulate-with-guardrails"] = compile(guarded, cookies)
	out["implausible-slot"] = Compile(Input{Policy: guarded, Datastore: cookies})
	maps.Copy(out, holdScenarios())
	maps.Copy(out, erasureScenarios())
	return out
}

func chinook() Datastore {
	return store(
		table("customer", ""),
		table("invoice", "invoice_date", [3]string{"customer_id", "customer", "customer_id"}),
		table("invoice_line", "", [3]string{"invoice_id", "invoice", "invoice_id"}),
	)
}

// severalObligations has two obligations from one starting point, one of a suspended policy, reckoned in zones 25 hours
// apart, of which one has reached the end of February and the other one has not; and one from another starting point.
func severalObligations() Plan {
	east := in("Pacific/Kiritimati", policy("east", Rule{Name: "keep", Datasets: names("invoice"), RetainAtLeast: "P3Y"}))
	west := in("Pacific/Pago_Pago", policy("west",
		Rule{Name: "keep", Datasets: names("invoice"), RetainAtLeast: "P3Y", LegalBasis: "tax law"}))
	west.Suspended = true
	return Compile(Input{
		Run:    "run-1",
		Policy: in("Asia/Taipei", policy("invoices", Rule{Name: "old", Datasets: names("invoice"), DeleteAfter: "P1Y", LegalBasis: "contract"})),
		Others: []Policy{west, east, policy("warranty",
			Rule{Name: "until-closed", Datasets: names("invoice"), RetainAtLeast: "P2Y", StartingFrom: "customer.closed_at"})},
		Datastore: store(table("customer", "created_at"), table("invoice", "invoice_date", [3]string{"customer_id", "customer", "id"})),
		Slot:      at("2027-03-01T05:00:00Z"),
	})
}

// otherPolicies has three policies that ask for the same datasets; mode is that of the one that names a dataset.
func otherPolicies(mode Mode) Plan {
	special := policy("special",
		Rule{Name: "vip", Datasets: names("vip"), DeleteAfter: "P10Y"},
		Rule{Name: "vip-phone", Datasets: names("lead"), DeleteAfter: "P1Y", Action: Anonymize,
			Transforms: []Transform{{Field: "phone", With: MethodNull}}})
	special.Mode = mode
	return compile(
		policy("contacts",
			Rule{Name: "contacts", DataClasses: names("contact"), DeleteAfter: "P2Y"},
			Rule{Name: "phones", DataClasses: names("contact"), DeleteAfter: "P30D", Action: Anonymize,
				Transforms: []Transform{{Field: "phone", With: MethodNull}, {Field: "fax", With: MethodNull}}}),
		store(classed("contact", table("lead", "created_at")), classed("contact", table("vip", "created_at"))),
		special,
		policy("strict", Rule{Name: "contacts", DataClasses: names("contact"), DeleteAfter: "P1Y"}),
	)
}

// compileAt has one dataset for each period.
func compileAt(slot, zoneName string, periods ...string) Plan {
	p := in(zoneName, policy("calendar"))
	var s Datastore
	for _, period := range periods {
		p.Rules = append(p.Rules, Rule{Name: "rule-" + period, Datasets: names("after-" + period), DeleteAfter: period})
		s.Datasets = append(s.Datasets, table("after-"+period, "created_at"))
	}
	return Compile(Input{Policy: p, Datastore: store(s.Datasets...), Slot: at(slot)})
}
