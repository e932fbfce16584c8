// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pictures is the folder for pictures of the pages, REPORT_PICTURES. Without it none are made: nobody would look at them.
func pictures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("REPORT_PICTURES")
	if dir != "" {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func pageOf(t *testing.T, in Input) string {
	t.Helper()
	r, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// overflow lists what is wider than the page, and what is cut off or covered inside it.
const overflow = `(() => {
	const width = document.documentElement.clientWidth, bad = [];
	if (document.documentElement.scrollWidth > width) bad.push('the page is ' + document.documentElement.scrollWidth + ' wide, not ' + width);
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('.shapes, thead, .skip, title') || e.namespaceURI.endsWith('svg')) continue;
		const r = e.getBoundingClientRect();
		if (r.width > 0 && (r.right > width + 0.5 || r.left < -0.5)) bad.push(e.tagName + '.' + e.className + ' from ' + r.left + ' to ' + r.right + ': ' + e.textContent.slice(0, 60));
		if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline' && e.clientWidth > 0) bad.push(e.tagName + '.' + e.className + ' has ' + e.scrollWidth + ' in ' + e.clientWidth + ': ' + e.textContent.slice(0, 60));
	}
	return bad.slice(0, 10);
})()`

// contrast lists texts whose contrast with what is behind them is below 4.5 (WCAG 2.2 AA).
const contrast = `(() => {
	const rgb = s => s.match(/[\d.]+/g).map(Number);
	const light = c => { const f = c.slice(0, 3).map(v => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
	const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
	const bad = new Set();
	for (const e of document.querySelectorAll('body *')) {
		if (e.closest('.shapes, .skip, title, details:not([open])')) continue;
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
		const s = getComputedStyle(e), svg = e.namespaceURI.endsWith('svg');
		const a = light(rgb(svg ? s.fill : s.color)), b = light(behind(e));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) bad.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2) + ': ' + e.textContent.slice(0, 40));
	}
	return [...bad].slice(0, 10);
})()`

func TestBrowser(t *testing.T) {
	dir := pictures(t)
	c := startChromium(t)
	hostile := rich(t)
	hostileNames(&hostile)
	empty := rich(t)
	empty.Entries, empty.Live, empty.Verification = nil, nil, Verification{}
	views := map[string]struct {
		width, height int
		dark          bool
	}{"desktop": {1280, 900, false}, "dark": {1280, 900, true}, "tablet": {820, 1100, false}, "phone": {360, 740, false}, "phonedark": {360, 740, true}}
	for _, page := range []struct {
		name, views string
		in          Input
	}{
		{"rich", "desktop dark tablet phone phonedark", rich(t)}, {"hostile", "desktop tablet phone", hostile},
		{"empty", "desktop phonedark", empty}, {"year", "desktop phone", many(t, 3000)},
	} {
		file := pageOf(t, page.in)
		for _, name := range strings.Fields(page.views) {
			view := views[name]
			t.Run(page.name+"/"+name, func(t *testing.T) {
				c.t = t
				c.open(file, view.width, view.height, view.dark)
				var bad []string
				if c.ask(overflow, &bad); len(bad) > 0 {
					t.Errorf("too wide:\n%s", strings.Join(bad, "\n"))
				}
				if c.ask(contrast, &bad); len(bad) > 0 {
					t.Errorf("too little contrast:\n%s", strings.Join(bad, "\n"))
				}
				var styled bool
				if c.ask(`getComputedStyle(document.querySelector('.badge, .seal')).display !== 'inline'`, &styled); !styled {
					t.Error("the policy of the page has refused its own style sheet")
				}
				if loads := c.loads(file); len(loads) > 0 {
					t.Errorf("the page loads something, or complains: %s", strings.Join(loads, "\n"))
				}
				if dir != "" {
					c.shot(filepath.Join(dir, page.name+"-"+name+".png"))
				}
			})
		}
		t.Run(page.name+"/structure", func(t *testing.T) {
			c.t = t
			c.open(file, 1280, 900, false)
			c.structure(page.name)
		})
		t.Run(page.name+"/paper", func(t *testing.T) {
			c.t = t
			c.open(file, 1280, 900, false)
			to := dir
			if to == "" {
				to = t.TempDir()
			}
			pdf := filepath.Join(to, page.name+".pdf")
			c.print(pdf)
			checkPaper(t, pdf)
			if dir != "" {
				if out, err := exec.Command("pdftoppm", "-r", "80", "-png", pdf, filepath.Join(dir, page.name)).CombinedOutput(); err != nil {
					t.Errorf("pdftoppm: %v: %s", err, out)
				}
			}
		})
	}
	c.t = t
}

// structure checks what a screen reader needs.
func (c *chromium) structure(page string) {
	c.t.Helper()
	var found struct {
		Tables, Captions, Unscoped, Headings, Skips, Images, Unlabelled, Broken, IDs int
		Lang                                                                         string
	}
	c.ask(`(() => {
		const all = s => [...document.querySelectorAll(s)];
		const levels = all('h1, h2, h3').map(h => +h.tagName[1]);
		const ids = all('[id]').map(e => e.id);
		return {
			tables: all('table').length, captions: all('table > caption').length, unscoped: all('th:not([scope])').length,
			headings: all('h1').length, skips: levels.filter((l, i) => i > 0 && l > levels[i - 1] + 1).length,
			images: all('svg[role=img]').length, unlabelled: all('svg:not([role=img]):not([aria-hidden])').length + all('svg[role=img]:not([aria-label])').length,
			broken: all('a[href^="#"]').filter(a => !document.getElementById(a.hash.slice(1))).length,
			ids: ids.length - new Set(ids).size, lang: document.documentElement.lang,
		};
	})()`, &found)
	if found.Tables == 0 || found.Captions != found.Tables {
		c.t.Errorf("%d tables have %d captions", found.Tables, found.Captions)
	}
	if page == "rich" && (found.Tables < 11 || found.Images < 5) {
		c.t.Errorf("there are %d tables and %d pictures", found.Tables, found.Images)
	}
	if found.Unscoped+found.Skips+found.Unlabelled+found.Broken+found.IDs > 0 || found.Headings != 1 || found.Lang != "en" {
		c.t.Errorf("the page has faults: %+v", found)
	}
}

// checkPaper checks the printed pages as far as their text tells: each has its number.
func checkPaper(t *testing.T, pdf string) {
	t.Helper()
	text, err := exec.Command("pdftotext", "-layout", pdf, "-").Output()
	if err != nil {
		t.Skipf("there is no pdftotext here; hack/tools/chromium.sh installs it: %v", err)
	}
	sheets := strings.Split(strings.TrimSuffix(string(text), "\f"), "\f")
	for i, sheet := range sheets {
		lines := strings.Split(strings.TrimSpace(sheet), "\n")
		last := strings.ReplaceAll(lines[len(lines)-1], " ", "")
		if want := fmt.Sprintf("%d/%d", i+1, len(sheets)); !strings.HasPrefix(last, "Dataretentionreport,") || !strings.HasSuffix(last, want) {
			t.Errorf("page %d of %d ends with %q", i+1, len(sheets), lines[len(lines)-1])
		}
	}
}
