// SPDX-License-Identifier: Apache-2.0

package report

// metricRow is one number for each of the regulations.
type metricRow struct {
	Name   string
	Values []string
	// Strong stands out; Part is a part of the last row that is none.
	Strong, Part bool
}

// metricRows turns the metrics so that each has a row.
func metricRows(of []RequestMetrics) []metricRow {
	row := func(name string, value func(*RequestMetrics) string) metricRow {
		r := metricRow{Name: name}
		for i := range of {
			r.Values = append(r.Values, value(&of[i]))
		}
		return r
	}
	n := func(name string, value func(*RequestMetrics) int) metricRow {
		return row(name, func(m *RequestMetrics) string { return number(value(m)) })
	}
	strong := func(r metricRow) metricRow { r.Strong = true; return r }
	part := func(r metricRow) metricRow { r.Part = true; return r }
	rows := []metricRow{
		n("Open when the period began", func(m *RequestMetrics) int { return m.CarriedOver }),
		strong(n("Received", func(m *RequestMetrics) int { return m.Received })),
		strong(n("Answered", func(m *RequestMetrics) int { return m.Answered })),
		part(n("complied with in whole", func(m *RequestMetrics) int { return m.CompliedInWhole })),
		part(n("complied with in part", func(m *RequestMetrics) int { return m.CompliedInPart })),
		part(n("nothing found", func(m *RequestMetrics) int { return m.NothingFound })),
		part(n("all kept by an obligation or a hold", func(m *RequestMetrics) int { return m.AllKept })),
		part(n("denied", func(m *RequestMetrics) int { return m.Denied })),
		part(n("nothing erased, or not proved", func(m *RequestMetrics) int { return m.NotDone })),
		n("Withdrawn without an answer", func(m *RequestMetrics) int { return m.Withdrawn }),
		n("Open when the period ended", func(m *RequestMetrics) int { return m.Open }),
		part(n("overdue now", func(m *RequestMetrics) int { return m.Overdue })),
		n("Answered within the time limit", func(m *RequestMetrics) int { return m.InTime }),
		n("Answered late", func(m *RequestMetrics) int { return m.Late }),
		n("Time limit extended", func(m *RequestMetrics) int { return m.Extended }),
		strong(row("Days to answer, median", func(m *RequestMetrics) string { return floatText(m.Days.Median) })),
		strong(row("Days to answer, mean", func(m *RequestMetrics) string { return floatText(m.Days.Mean) })),
		row("Days to answer, longest", func(m *RequestMetrics) string { return daysText(m.Days.Longest) }),
	}
	return append(rows, denialRows(of)...)
}

// denialRows say how often requests were denied for which reason.
func denialRows(of []RequestMetrics) []metricRow {
	var rows []metricRow
	for _, reason := range of[0].DenialReasons {
		r := metricRow{Name: "Denied: " + reason.Name}
		for i := range of {
			times := 0
			for _, t := range of[i].DenialReasons {
				if t.Name == reason.Name {
					times = t.Times
				}
			}
			r.Values = append(r.Values, number(times))
		}
		rows = append(rows, r)
	}
	return rows
}
