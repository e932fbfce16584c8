// SPDX-License-Identifier: Apache-2.0

package report

import (
	"strings"
)

// hostileTexts are names that somebody might choose to break a page, a table or a spreadsheet.
var hostileTexts = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`=HYPERLINK("http://evil.example","click")`,
	"\u202egnp.exe\u202e right to left",
	"מדיניות שמירה שלי",
	`</style><style>*{display:none}</style>`,
	`'; DROP TABLE x; --`,
	"+1+cmd|' /C calc'!A0",
	strings.Repeat("averyveryverylongnamewithoutanybreak", 12),
	"{{.Made}} ${x} `y`",
}

// hostileNames puts such texts wherever a statement or an object has a text that a person may choose.
func hostileNames(in *Input) {
	i := 0
	next := func() string { i++; return hostileTexts[i%len(hostileTexts)] }
	for k := range in.Entries {
		s := in.Entries[k].Statement
		if s == nil {
			continue
		}
		p := &s.Predicate
		for j := range p.Datastores {
			d := &p.Datastores[j]
			d.Message = next()
			for m := range d.Datasets {
				d.Datasets[m].Name, d.Datasets[m].LegalBasis, d.Datasets[m].DataClass = next(), next(), hostileTexts[m%3]
			}
		}
		if p.Hold != nil {
			p.Hold.Reason, p.Hold.Authority, p.Hold.Reference, p.Hold.Release, p.Hold.Name = next(), next(), next(), next(), next()
		}
		if p.Policy != nil {
			p.Policy.Name = hostileTexts[len(p.Policy.Name)%len(hostileTexts)]
		}
		if p.Request != nil {
			p.Request.Name, p.Request.Regulation, p.Request.ExtensionBasis = next(), hostileTexts[k%2], next()
		}
		if p.Run != nil {
			p.Run.Name = hostileTexts[k%len(hostileTexts)] + p.Run.Name
		}
		for j := range p.NotCovered {
			p.NotCovered[j].Message, p.NotCovered[j].Name = next(), next()
		}
		p.Message, p.Outcome = next(), next()
	}
	in.By, in.Source, in.Version, in.Verification.Origin = hostileTexts[0], hostileTexts[1], hostileTexts[5], hostileTexts[2]
	in.Live.Policies[0].Spec.Rules[0].LegalBasis = "<b>basis</b>"
}
