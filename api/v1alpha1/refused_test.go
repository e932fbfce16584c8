// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMalformedDatastoresAreRefused(t *testing.T) {
	refused(t, leastDatastore, map[string]malformed{
		"name too long":             {`metadata: {name: ` + strings.Repeat("x", 64) + `}`, `Invalid value: metadata.name must have at most 63 characters, since it becomes a label`},
		"no spec":                   {`spec: null`, `spec: Required value`},
		"empty spec":                {`spec: {}`, `spec.datasets: Required value`},
		"no engine":                 {`spec: {postgresql: null}`, `spec: Invalid value: set exactly one engine, for example postgresql: {secretRef: {name: my-connection}}`},
		"unknown engine":            {`spec: {postgresql: null, oracle: {}}`, `Datastore in version "v1alpha1" cannot be handled as a Datastore: strict decoding error: unknown field "spec.oracle"`},
		"connection without Secret": {`spec: {postgresql: {secretRef: null}}`, `spec.postgresql.secretRef: Required value`},
		"Secret without name": {`spec: {postgresql: {secretRef: {name: ""}}}`, `spec.postgresql.secretRef.name: Invalid value: "": spec.postgresql.secretRef.name in body should be at least 1 chars long` + "\n" +
			`spec.postgresql.secretRef.name: Invalid value: "": write the name of a Secret: lower-case letters, digits, '-' and '.'`},
		"Secret with an odd name":     {`spec: {postgresql: {secretRef: {name: My_Secret}}}`, `spec.postgresql.secretRef.name: Invalid value: "My_Secret": write the name of a Secret: lower-case letters, digits, '-' and '.'`},
		"Secret of another namespace": {`spec: {postgresql: {secretRef: {namespace: prod}}}`, `Datastore in version "v1alpha1" cannot be handled as a Datastore: strict decoding error: unknown field "spec.postgresql.secretRef.namespace"`},
		"password in the spec":        {`spec: {postgresql: {password: hunter2}}`, `Datastore in version "v1alpha1" cannot be handled as a Datastore: strict decoding error: unknown field "spec.postgresql.password"`},
		"no datasets":                 {`spec: {datasets: null}`, `spec.datasets: Required value`},
		"empty datasets":              {`spec: {datasets: []}`, `spec.datasets: Invalid value: 0: spec.datasets in body should have at least 1 items`},
		"too many datasets":           {`spec: {datasets: [` + fill(65, "{name: t%d}") + `]}`, `spec.datasets: Too many: 65: must have at most 64 items`},
		"dataset without name":        {`spec: {datasets: [{path: customer}]}`, `spec.datasets[0].name: Required value`},
		"dataset name with a dot":     {`spec: {datasets: [{name: public.customer}]}`, `spec.datasets[0].name: Invalid value: "public.customer": write a name of letters, digits, '_' and '-'; if the table is called otherwise, put its name into path`},
		"dataset name with a space":   {`spec: {datasets: [{name: Order Details}]}`, `spec.datasets[0].name: Invalid value: "Order Details": write a name of letters, digits, '_' and '-'; if the table is called otherwise, put its name into path`},
		"dataset name too long":       {`spec: {datasets: [{name: ` + strings.Repeat("x", 64) + `}]}`, `spec.datasets[0].name: Too long: may not be more than 63 bytes`},
		"dataset named twice": {`spec: {datasets: [{name: a}, {name: b}, {name: a}]}`, `spec.datasets[2]: Duplicate value: {"name":"a"}` + "\n" +
			`spec.datasets: Invalid value: two datasets have the same path, so that one table would be counted twice; map each table once`},
		"table mapped twice":          {`spec: {datasets: [{name: a, path: b}, {name: b}]}`, `spec.datasets: Invalid value: two datasets have the same path, so that one table would be counted twice; map each table once`},
		"path of three parts":         {`spec: {datasets: [{name: a, path: shop.public.a}]}`, `spec.datasets[0].path: Invalid value: "shop.public.a": write table or schema.table; put a name with a dot or a double quote in it into double quotes, for example sales."order.details"`},
		"path with an empty part":     {`spec: {datasets: [{name: a, path: .a}]}`, `spec.datasets[0].path: Invalid value: ".a": write table or schema.table; put a name with a dot or a double quote in it into double quotes, for example sales."order.details"`},
		"path with an open quote":     {`spec: {datasets: [{name: a, path: 'public."a'}]}`, `spec.datasets[0].path: Invalid value: "public.\"a": write table or schema.table; put a name with a dot or a double quote in it into double quotes, for example sales."order.details"`},
		"path with a line break":      {`spec: {datasets: [{name: a, path: "public\na"}]}`, `spec.datasets[0].path: Invalid value: "public\na": write table or schema.table; put a name with a dot or a double quote in it into double quotes, for example sales."order.details"`},
		"dataClass with a space":      {`spec: {datasets: [{name: a, dataClass: my cookies}]}`, `spec.datasets[0].dataClass: Invalid value: "my cookies": write a class of letters, digits, '.', '_' and '-', for example cookies or contact`},
		"dataClass too long":          {`spec: {datasets: [{name: a, dataClass: ` + strings.Repeat("x", 64) + `}]}`, `spec.datasets[0].dataClass: Too long: may not be more than 63 bytes`},
		"empty categories":            {`spec: {datasets: [{name: a, categories: []}]}`, `spec.datasets[0].categories: Invalid value: 0: spec.datasets[0].categories in body should have at least 1 items`},
		"category twice":              {`spec: {datasets: [{name: a, categories: [user.name, user.name]}]}`, `spec.datasets[0].categories[1]: Duplicate value: "user.name"`},
		"empty timestampField":        {`spec: {datasets: [{name: a, timestampField: ""}]}`, `spec.datasets[0].timestampField: Invalid value: "": spec.datasets[0].timestampField in body should be at least 1 chars long`},
		"timestampField with a NUL":   {`spec: {datasets: [{name: a, timestampField: "a\0b"}]}`, `spec.datasets[0].timestampField: Invalid value: "a\x00b": write the field's name as the datastore spells it, without control characters`},
		"timestampField too long":     {`spec: {datasets: [{name: a, timestampField: ` + strings.Repeat("x", 129) + `}]}`, `spec.datasets[0].timestampField: Too long: may not be more than 128 bytes`},
		"format without field":        {`spec: {datasets: [{name: a, timestampFormat: UnixSeconds}]}`, `spec.datasets[0]: Invalid value: timestampFormat says how timestampField is stored; set timestampField too`},
		"unknown format":              {`spec: {datasets: [{name: a, timestampField: t, timestampFormat: Epoch}]}`, `spec.datasets[0].timestampFormat: Unsupported value: "Epoch": supported values: "Native", "UnixSeconds", "UnixMilliseconds"`},
		"identifier type in capitals": {`spec: {datasets: [{name: a, identifiers: [{type: E-Mail, field: mail}]}]}`, `spec.datasets[0].identifiers[0].type: Invalid value: "E-Mail": write a type of lower-case letters, digits and '_', for example email or customer_id`},
		"identifier without field":    {`spec: {datasets: [{name: a, identifiers: [{type: email}]}]}`, `spec.datasets[0].identifiers[0].field: Required value`},
		"identifier twice":            {`spec: {datasets: [{name: a, identifiers: [{type: email, field: m}, {type: email, field: m}]}]}`, `spec.datasets[0].identifiers[1]: Duplicate value: {"field":"m","type":"email"}`},
		"too many identifiers":        {`spec: {datasets: [{name: a, identifiers: [` + fill(17, "{type: email, field: f%d}") + `]}]}`, `spec.datasets[0].identifiers: Too many: 17: must have at most 16 items`},
		"dangling reference":          {`spec: {datasets: [{name: b}, {name: a, references: [{field: b_id, dataset: c, key: id}]}]}`, `spec.datasets: Invalid value: references of a name a dataset that is not in spec.datasets; add that dataset, or correct the reference`},
		"reference to a path": {`spec: {datasets: [{name: b, path: s.b}, {name: a, references: [{field: b_id, dataset: s.b, key: id}]}]}`, `spec.datasets: Invalid value: references of a name a dataset that is not in spec.datasets; add that dataset, or correct the reference` + "\n" +
			`spec.datasets[1].references[0].dataset: Invalid value: "s.b": write a name of letters, digits, '_' and '-'; if the table is called otherwise, put its name into path`},
		"reference without key":        {`spec: {datasets: [{name: b}, {name: a, references: [{field: b_id, dataset: b}]}]}`, `spec.datasets[1].references[0].key: Required value`},
		"reference twice":              {`spec: {datasets: [{name: b}, {name: a, references: [{field: b_id, dataset: b, key: id}, {field: b_id, dataset: b, key: id}]}]}`, `spec.datasets[1].references[1]: Duplicate value: {"dataset":"b","field":"b_id"}`},
		"Retain without legal basis":   {`spec: {datasets: [{name: a, onErasure: {action: Retain}}]}`, `spec.datasets[0].onErasure: Invalid value: legalBasis is required with action: Retain; name the law or the contract that demands it`},
		"onErasure without action":     {`spec: {datasets: [{name: a, onErasure: {legalBasis: tax law}}]}`, `spec.datasets[0].onErasure.action: Required value`},
		"unknown action on erasure":    {`spec: {datasets: [{name: a, onErasure: {action: Keep}}]}`, `spec.datasets[0].onErasure.action: Unsupported value: "Keep": supported values: "Delete", "Anonymize", "Retain"`},
		"legal basis of two lines":     {`spec: {datasets: [{name: a, onErasure: {action: Retain, legalBasis: "tax\nlaw"}}]}`, `spec.datasets[0].onErasure.legalBasis: Invalid value: "tax\nlaw": write one line of text, without line breaks and other control characters`},
		"misspelt field":               {`spec: {datasets: [{name: a, timestampfield: created_at}]}`, `Datastore in version "v1alpha1" cannot be handled as a Datastore: strict decoding error: unknown field "spec.datasets[0].timestampfield"`},
		"SQL in a dataset":             {`spec: {datasets: [{name: a, where: "1 = 1"}]}`, `Datastore in version "v1alpha1" cannot be handled as a Datastore: strict decoding error: unknown field "spec.datasets[0].where"`},
		"text with an escape sequence": {`spec: {purposes: ["\e[2Jmarketing"]}`, `spec.purposes[0]: Invalid value: "\x1b[2Jmarketing": write one line of text, without line breaks and other control characters`},
		"purpose too long":             {`spec: {purposes: [` + strings.Repeat("x", 257) + `]}`, `spec.purposes[0]: Too long: may not be more than 256 bytes`},
		"empty recipient":              {`spec: {recipients: [""]}`, `spec.recipients[0]: Invalid value: "": spec.recipients[0] in body should be at least 1 chars long`},
		"too many recipients":          {`spec: {recipients: [` + fill(33, "r%d") + `]}`, `spec.recipients: Too many: 33: must have at most 32 items`},
		"backups without retention":    {`spec: {backups: {}}`, `spec.backups.retention: Required value`},
		"backups of a Go duration":     {`spec: {backups: {retention: 840h}}`, `spec.backups.retention: Invalid value: "840h": write an ISO 8601 calendar period that is longer than zero and shorter than 1000 years, for example P90D, P11M, P7Y or PT12H`},
		"unknown time zone":            {`spec: {timeZone: Europe/Berln}`, `spec.timeZone: Invalid value: "string": unknown time zone Europe/Berln evaluating rule: write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"time zone of the server":      {`spec: {timeZone: Local}`, `spec.timeZone: Invalid value: "Local": write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"time zone as an offset":       {`spec: {timeZone: "+02:00"}`, `spec.timeZone: Invalid value: "+02:00": write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"time zone with a space":       {`spec: {timeZone: Europe Berlin}`, `spec.timeZone: Invalid value: "Europe Berlin": write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"empty time zone": {`spec: {timeZone: ""}`, `spec.timeZone: Invalid value: "": spec.timeZone in body should be at least 1 chars long` + "\n" +
			`spec.timeZone: Invalid value: "": write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"datasets as a map": {`spec: {datasets: {customer: {}}}`, `Datastore in version "v1alpha1" cannot be handled as a Datastore: strict decoding error: unknown field "spec.datasets.customer"`},
	})
}

const (
	badPeriod = `write an ISO 8601 calendar period that is longer than zero and shorter than 1000 years, for example P90D, P11M, P7Y or PT12H`
)

func TestMalformedRetentionPoliciesAreRefused(t *testing.T) {
	cases := map[string]malformed{
		"name too long":  {`metadata: {name: ` + strings.Repeat("x", 64) + `}`, `Invalid value: metadata.name must have at most 63 characters, since it becomes a label`},
		"empty spec":     {`spec: null`, `spec: Required value`},
		"no selector":    {`spec: {datastoreSelector: null}`, `spec.datastoreSelector: Required value`},
		"empty selector": {`spec: {datastoreSelector: {}}`, `spec.datastoreSelector: Invalid value: name at least one label that a Datastore must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach datastores that nobody meant`},
		"selector with empty matchLabels": {`spec: {datastoreSelector: {matchLabels: {}}}`, `spec.datastoreSelector.matchLabels: Invalid value: 0: spec.datastoreSelector.matchLabels in body should have at least 1 properties` + "\n" +
			`spec.datastoreSelector: Invalid value: name at least one label that a Datastore must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach datastores that nobody meant`},
		"selector of exclusions only":     {`spec: {datastoreSelector: {matchLabels: null, matchExpressions: [{key: env, operator: NotIn, values: [dev]}, {key: old, operator: DoesNotExist}]}}`, `spec.datastoreSelector: Invalid value: name at least one label that a Datastore must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach datastores that nobody meant`},
		"In without values":               {`spec: {datastoreSelector: {matchExpressions: [{key: env, operator: In}]}}`, `spec.datastoreSelector.matchExpressions[0]: Invalid value: give values with In and NotIn, and none with Exists and DoesNotExist`},
		"Exists with values":              {`spec: {datastoreSelector: {matchExpressions: [{key: env, operator: Exists, values: [prod]}]}}`, `spec.datastoreSelector.matchExpressions[0]: Invalid value: give values with In and NotIn, and none with Exists and DoesNotExist`},
		"unknown operator":                {`spec: {datastoreSelector: {matchExpressions: [{key: env, operator: Equals, values: [prod]}]}}`, `spec.datastoreSelector.matchExpressions[0].operator: Unsupported value: "Equals": supported values: "In", "NotIn", "Exists", "DoesNotExist"`},
		"label key with a space":          {`spec: {datastoreSelector: {matchLabels: {"my app": shop}}}`, `spec.datastoreSelector.matchLabels: Invalid value: write keys of labels, for example app or data.example.com/personal`},
		"label value with a space":        {`spec: {datastoreSelector: {matchLabels: {app: my shop}}}`, `spec.datastoreSelector.matchLabels[app]: Invalid value: "my shop": write a label's value: letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit`},
		"label value not a string":        {`spec: {datastoreSelector: {matchLabels: {personal: true}}}`, `spec.datastoreSelector.matchLabels.personal: Invalid value: "boolean": spec.datastoreSelector.matchLabels.personal in body must be of type string: "boolean"`},
		"expression key with a space":     {`spec: {datastoreSelector: {matchExpressions: [{key: my app, operator: Exists}]}}`, `spec.datastoreSelector.matchExpressions[0].key: Invalid value: "my app": write the key of a label, for example app or data.example.com/personal`},
		"no schedule":                     {`spec: {schedule: null}`, `spec.schedule: Required value`},
		"time zone in the schedule":       {`spec: {schedule: "CRON_TZ=Asia/Taipei 0 3 * * *"}`, `spec.schedule: Invalid value: "CRON_TZ=Asia/Taipei 0 3 * * *": write the zone into spec.timeZone, not into the schedule`},
		"unknown time zone":               {`spec: {timeZone: Mars/Olympus_Mons}`, `spec.timeZone: Invalid value: "string": unknown time zone Mars/Olympus_Mons evaluating rule: write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"unknown mode":                    {`spec: {mode: DryRun}`, `spec.mode: Unsupported value: "DryRun": supported values: "Enforce", "Simulate"`},
		"suspend as text":                 {`spec: {suspend: "yes"}`, `spec.suspend: Invalid value: "string": spec.suspend in body must be of type boolean: "string"`},
		"negative starting deadline":      {`spec: {startingDeadlineSeconds: -1}`, `spec.startingDeadlineSeconds: Invalid value: -1: spec.startingDeadlineSeconds in body should be greater than or equal to 0`},
		"active deadline too short":       {`spec: {activeDeadlineSeconds: 5}`, `spec.activeDeadlineSeconds: Invalid value: 5: spec.activeDeadlineSeconds in body should be greater than or equal to 60`},
		"history too long":                {`spec: {successfulRunsHistoryLimit: 101}`, `spec.successfulRunsHistoryLimit: Invalid value: 101: spec.successfulRunsHistoryLimit in body should be less than or equal to 100`},
		"negative history":                {`spec: {failedRunsHistoryLimit: -1}`, `spec.failedRunsHistoryLimit: Invalid value: -1: spec.failedRunsHistoryLimit in body should be greater than or equal to 0`},
		"no rules":                        {`spec: {rules: null}`, `spec.rules: Required value`},
		"empty rules":                     {`spec: {rules: []}`, `spec.rules: Invalid value: 0: spec.rules in body should have at least 1 items`},
		"too many rules":                  {`spec: {rules: [` + fill(65, "{name: r%d, datasets: [a], deleteAfter: P1D}") + `]}`, `spec.rules: Too many: 65: must have at most 64 items`},
		"rule named twice":                {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D}, {name: a, datasets: [z], deleteAfter: P2D}]}`, `spec.rules[1]: Duplicate value: {"name":"a"}`},
		"rule without name":               {`spec: {rules: [{datasets: [x], deleteAfter: P1D}]}`, `spec.rules[0].name: Required value`},
		"rule name in capitals":           {`spec: {rules: [{name: Cookies, datasets: [x], deleteAfter: P1D}]}`, `spec.rules[0].name: Invalid value: "Cookies": write a name of lower-case letters, digits and '-'`},
		"rule that covers nothing":        {`spec: {rules: [{name: a, deleteAfter: P1D}]}`, `spec.rules[0]: Invalid value: say what the rule covers: set datasets, or dataClasses`},
		"rule with empty datasets":        {`spec: {rules: [{name: a, datasets: [], deleteAfter: P1D}]}`, `spec.rules[0].datasets: Invalid value: 0: spec.rules[0].datasets in body should have at least 1 items`},
		"rule for all datasets":           {`spec: {rules: [{name: a, datasets: ["*"], deleteAfter: P1D}]}`, `spec.rules[0].datasets[0]: Invalid value: "*": write a name of letters, digits, '_' and '-'; if the table is called otherwise, put its name into path`},
		"rule with a dataset twice":       {`spec: {rules: [{name: a, datasets: [x, x], deleteAfter: P1D}]}`, `spec.rules[0].datasets[1]: Duplicate value: "x"`},
		"rule with a class twice":         {`spec: {rules: [{name: a, dataClasses: [x, x], deleteAfter: P1D}]}`, `spec.rules[0].dataClasses[1]: Duplicate value: "x"`},
		"rule with too many classes":      {`spec: {rules: [{name: a, dataClasses: [` + fill(33, "c%d") + `], deleteAfter: P1D}]}`, `spec.rules[0].dataClasses: Too many: 33: must have at most 32 items`},
		"rule without period":             {`spec: {rules: [{name: a, datasets: [x]}]}`, `spec.rules[0]: Invalid value: say how long: set deleteAfter, retainAtLeast, or both`},
		"rule with a legal basis only":    {`spec: {rules: [{name: a, datasets: [x], legalBasis: tax law}]}`, `spec.rules[0]: Invalid value: say how long: set deleteAfter, retainAtLeast, or both`},
		"action without deleteAfter":      {`spec: {rules: [{name: a, datasets: [x], retainAtLeast: P7Y, action: Delete}]}`, `spec.rules[0]: Invalid value: action says what happens after deleteAfter; set deleteAfter too`},
		"unknown action":                  {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, action: Archive}]}`, `spec.rules[0].action: Unsupported value: "Archive": supported values: "Delete", "Anonymize"`},
		"Anonymize without list":          {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, action: Anonymize}]}`, `spec.rules[0]: Invalid value: action: Anonymize and the list anonymize go together; set both, or neither`},
		"list without Anonymize":          {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, anonymize: [{field: ip, with: "Null"}]}]}`, `spec.rules[0]: Invalid value: action: Anonymize and the list anonymize go together; set both, or neither`},
		"startingFrom without field":      {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startingFrom: "invoice."}]}`, `spec.rules[0].startingFrom: Invalid value: "invoice.": write field, or parent.field, where parent is the name of a dataset`},
		"startingFrom without parent":     {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startingFrom: ".closed_at"}]}`, `spec.rules[0].startingFrom: Invalid value: ".closed_at": write field, or parent.field, where parent is the name of a dataset`},
		"startingFrom with a tab":         {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startingFrom: "closed\tat"}]}`, `spec.rules[0].startingFrom: Invalid value: "closed\tat": write field, or parent.field, where parent is the name of a dataset`},
		"startingFrom with an odd parent": {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startingFrom: "Order Details.closed_at"}]}`, `spec.rules[0].startingFrom: Invalid value: "Order Details.closed_at": write field, or parent.field, where parent is the name of a dataset`},
		"legal basis too long":            {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, legalBasis: ` + strings.Repeat("x", 257) + `}]}`, `spec.rules[0].legalBasis: Too long: may not be more than 256 bytes`},
		"unknown method":                  {anonymize(`{field: ip, with: Mask}`), `spec.rules[0].anonymize[0].with: Unsupported value: "Mask": supported values: "Null", "Constant", "TruncateIP", "TruncateDate", "HMAC"`},
		"method null":                     {anonymize(`{field: ip, with: null}`), `spec.rules[0].anonymize[0].with: Required value: write "Null" (in quotes, since YAML reads a bare Null as no value), Constant, TruncateIP, TruncateDate or HMAC`},
		"no method":                       {anonymize(`{field: ip}`), `spec.rules[0].anonymize[0].with: Required value: write "Null" (in quotes, since YAML reads a bare Null as no value), Constant, TruncateIP, TruncateDate or HMAC`},
		"no field":                        {anonymize(`{with: "Null"}`), `spec.rules[0].anonymize[0].field: Required value`},
		"field twice":                     {anonymize(`{field: ip, with: "Null"}, {field: ip, with: TruncateIP}`), `spec.rules[0].anonymize[1]: Duplicate value: {"field":"ip"}`},
		"Constant without value":          {anonymize(`{field: name, with: Constant}`), `spec.rules[0].anonymize[0]: Invalid value: value belongs to with: Constant, and is required there`},
		"value without Constant":          {anonymize(`{field: name, with: "Null", value: x}`), `spec.rules[0].anonymize[0]: Invalid value: value belongs to with: Constant, and is required there`},
		"value with a NUL":                {anonymize(`{field: name, with: Constant, value: "\0"}`), `spec.rules[0].anonymize[0].value: Invalid value: "\x00": write one line of text, without line breaks and other control characters`},
		"value as a number":               {anonymize(`{field: name, with: Constant, value: 0}`), `spec.rules[0].anonymize[0].value: Invalid value: "integer": spec.rules[0].anonymize[0].value in body must be of type string: "integer"`},
		"HMAC without key":                {anonymize(`{field: email, with: HMAC}`), `spec.rules[0].anonymize[0]: Invalid value: keyRef belongs to with: HMAC, and is required there`},
		"key without HMAC":                {anonymize(`{field: email, with: TruncateIP, keyRef: {name: k, key: k}}`), `spec.rules[0].anonymize[0]: Invalid value: keyRef belongs to with: HMAC, and is required there`},
		"HMAC's key without key":          {anonymize(`{field: email, with: HMAC, keyRef: {name: k}}`), `spec.rules[0].anonymize[0].keyRef.key: Required value`},
		"HMAC's key with a path":          {anonymize(`{field: email, with: HMAC, keyRef: {name: k, key: ../k}}`), `spec.rules[0].anonymize[0].keyRef.key: Invalid value: "../k": write a key of the Secret: letters, digits, '-', '_' and '.'`},
		"TruncateDate without unit":       {anonymize(`{field: born, with: TruncateDate}`), `spec.rules[0].anonymize[0]: Invalid value: unit (Year, Month or Day) belongs to with: TruncateDate, and is required there`},
		"unit without TruncateDate":       {anonymize(`{field: born, with: "Null", unit: Year}`), `spec.rules[0].anonymize[0]: Invalid value: unit (Year, Month or Day) belongs to with: TruncateDate, and is required there`},
		"unknown unit":                    {anonymize(`{field: born, with: TruncateDate, unit: Week}`), `spec.rules[0].anonymize[0].unit: Unsupported value: "Week": supported values: "Year", "Month", "Day"`},
		"guardrails without any": {`spec: {guardrails: {}}`, `spec.guardrails: Invalid value: 0: spec.guardrails in body should have at least 1 properties` + "\n" +
			`spec.guardrails: Invalid value: set maxRecords, maxPercent, or both; or leave guardrails out`},
		"guardrails of no records":       {`spec: {guardrails: {maxRecords: 0}}`, `spec.guardrails.maxRecords: Invalid value: 0: spec.guardrails.maxRecords in body should be greater than or equal to 1`},
		"guardrails of no percent":       {`spec: {guardrails: {maxPercent: 0}}`, `spec.guardrails.maxPercent: Invalid value: 0: spec.guardrails.maxPercent in body should be greater than or equal to 1`},
		"guardrails over 100 percent":    {`spec: {guardrails: {maxPercent: 101}}`, `spec.guardrails.maxPercent: Invalid value: 101: spec.guardrails.maxPercent in body should be less than or equal to 100`},
		"guardrails with a percent sign": {`spec: {guardrails: {maxPercent: 20%}}`, `spec.guardrails.maxPercent: Invalid value: "string": spec.guardrails.maxPercent in body must be of type integer: "string"`},
		"misspelt rule field":            {`spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startsFrom: closed_at}]}`, `RetentionPolicy in version "v1alpha1" cannot be handled as a RetentionPolicy: strict decoding error: unknown field "spec.rules[0].startsFrom"`},
		"a Pod template":                 {`spec: {template: {spec: {serviceAccountName: admin}}}`, `RetentionPolicy in version "v1alpha1" cannot be handled as a RetentionPolicy: strict decoding error: unknown field "spec.template"`},
	}
	for _, period := range []string{"P0D", "P0Y0M0W0DT0H0M0S", "P", "PT", "P1DT", "90d", "P90d", "p90d", "90", "720h", "30 days", "-P90D", "P-90D", "+P90D", "P1.5M",
		"P1,5Y", "P90D ", " P90D", "P90D\n", "P12H", "PT1D", "P1D1Y", "P1D1D", "P1000Y", "P9999999D", "P٣D", "P3M/P6M"} {
		cases["period "+period] = malformed{rule(period), "spec.rules[0].deleteAfter: Invalid value: " + quoted(period) + ": " + badPeriod}
	}
	cases["period of no text"] = malformed{rule(""), `spec.rules[0].deleteAfter: Invalid value: "": spec.rules[0].deleteAfter in body should be at least 1 chars long` + "\n" +
		`spec.rules[0].deleteAfter: Invalid value: "": write an ISO 8601 calendar period that is longer than zero and shorter than 1000 years, for example P90D, P11M, P7Y or PT12H`}
	for line, want := range map[string]string{
		"": `spec.schedule: Invalid value: "": spec.schedule in body should be at least 1 chars long` + "\n" +
			`spec.schedule: Invalid value: "": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"daily":                    `spec.schedule: Invalid value: "daily": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"0 3 * *":                  `spec.schedule: Invalid value: "0 3 * *": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"0 0 3 * * *":              `spec.schedule: Invalid value: "0 0 3 * * *": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"0\t3\t*\t*\t*":            `spec.schedule: Invalid value: "0\t3\t*\t*\t*": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"@every 1h":                `spec.schedule: Invalid value: "@every 1h": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"@reboot":                  `spec.schedule: Invalid value: "@reboot": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"@Daily":                   `spec.schedule: Invalid value: "@Daily": write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly`,
		"TZ=Asia/Taipei 0 3 * * *": `spec.schedule: Invalid value: "TZ=Asia/Taipei 0 3 * * *": write the zone into spec.timeZone, not into the schedule`,
		"61 3 * * *":               `spec.schedule: Invalid value: "61 3 * * *": the first field of schedule is the minute: 0 to 59, or *`,
		"-1 3 * * *":               `spec.schedule: Invalid value: "-1 3 * * *": the first field of schedule is the minute: 0 to 59, or *`,
		"*/0 3 * * *":              `spec.schedule: Invalid value: "*/0 3 * * *": the first field of schedule is the minute: 0 to 59, or *`,
		"0,,5 3 * * *":             `spec.schedule: Invalid value: "0,,5 3 * * *": the first field of schedule is the minute: 0 to 59, or *`,
		"0 24 * * *":               `spec.schedule: Invalid value: "0 24 * * *": the second field of schedule is the hour: 0 to 23, or *`,
		"0 22-4 * * *":             `spec.schedule: Invalid value: "0 22-4 * * *": a range in schedule begins with the lower value; write 22-23,0-4 instead of 22-4, and FRI,SAT,SUN instead of FRI-SUN`,
		"0 3 32 * *":               `spec.schedule: Invalid value: "0 3 32 * *": the third field of schedule is the day of the month: 1 to 31, or *`,
		"0 3 0 * *":                `spec.schedule: Invalid value: "0 3 0 * *": the third field of schedule is the day of the month: 1 to 31, or *`,
		"0 3 L * *":                `spec.schedule: Invalid value: "0 3 L * *": the third field of schedule is the day of the month: 1 to 31, or *`,
		"0 3 * 13 *":               `spec.schedule: Invalid value: "0 3 * 13 *": the fourth field of schedule is the month: 1 to 12, JAN to DEC, or *`,
		"0 3 * JUNE *":             `spec.schedule: Invalid value: "0 3 * JUNE *": the fourth field of schedule is the month: 1 to 12, JAN to DEC, or *`,
		"0 3 * * 7":                `spec.schedule: Invalid value: "0 3 * * 7": the fifth field of schedule is the day of the week: 0 (Sunday) to 6, SUN to SAT, or *`,
		"0 3 * * MO":               `spec.schedule: Invalid value: "0 3 * * MO": the fifth field of schedule is the day of the week: 0 (Sunday) to 6, SUN to SAT, or *`,
		"0 3 * * FRI-SUN":          `spec.schedule: Invalid value: "0 3 * * FRI-SUN": a range in schedule begins with the lower value; write 22-23,0-4 instead of 22-4, and FRI,SAT,SUN instead of FRI-SUN`,
		"0 3 * NOV-FEB *":          `spec.schedule: Invalid value: "0 3 * NOV-FEB *": a range in schedule begins with the lower value; write 22-23,0-4 instead of 22-4, and FRI,SAT,SUN instead of FRI-SUN`,
		"0 3 * * 5#2":              `spec.schedule: Invalid value: "0 3 * * 5#2": the fifth field of schedule is the day of the week: 0 (Sunday) to 6, SUN to SAT, or *`,
		"0 3 * * *\n":              `spec.schedule: Invalid value: "0 3 * * *\n": the fifth field of schedule is the day of the week: 0 (Sunday) to 6, SUN to SAT, or *`,
		strings.Repeat("*", 101):   `spec.schedule: Too long: may not be more than 100 bytes`,
	} {
		cases["schedule "+line] = malformed{"spec: {schedule: " + quoted(line) + "}", want}
	}
	refused(t, leastRetentionPolicy, cases)
}

type malformed struct {
	patch string // of the least object that is accepted
	want  string // all that the API server says
}

func refused(t *testing.T, least string, cases map[string]malformed) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := tryCreate(t, object(t, least, c.patch))
			if err == nil {
				t.Fatal("it was accepted")
			}
			if diff := cmp.Diff(c.want, complaints(err)); diff != "" {
				t.Errorf("complaints (-want +got):\n%s", diff)
			}
		})
	}
}
