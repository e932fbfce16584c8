// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chromium is a real browser without a window, driven over a pipe by the DevTools protocol.
type chromium struct {
	t       *testing.T
	in      *os.File
	pipe    *os.File
	out     *bufio.Reader
	session string
	last    int
	// said are the errors and warnings that pages have caused.
	said []string
}

// message is one of the DevTools protocol.
type message struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`
}

// findChromium is the browser that hack/tools/chromium.sh has made sure of, or the test is skipped.
func findChromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("there is no Chromium here; hack/tools/chromium.sh installs it")
	return ""
}

func startChromium(t *testing.T) *chromium {
	t.Helper()
	path := findChromium(t)
	theirIn, ourOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ourIn, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
		"--user-data-dir="+filepath.Join(home, "profile"), "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+home) // crash reports and caches go with the test
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	c := &chromium{t: t, in: ourOut, pipe: ourIn, out: bufio.NewReaderSize(ourIn, 1<<20)}
	t.Cleanup(func() {
		c.session = ""
		_ = c.send("Browser.close", nil)
		stop := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // how it ends says nothing
		stop.Stop()
		ourOut.Close()
		ourIn.Close()
		if t.Failed() {
			t.Logf("the browser said: %s", stderr.String())
		}
	})
	return c
}

func (c *chromium) send(method string, params any) error {
	c.last++
	b, err := json.Marshal(map[string]any{"id": c.last, "method": method, "params": params, "sessionId": c.session})
	if err != nil {
		return err
	}
	if c.session == "" {
		if b, err = json.Marshal(map[string]any{"id": c.last, "method": method, "params": params}); err != nil {
			return err
		}
	}
	_, err = c.in.Write(append(b, 0))
	return err
}

// call sends a command and waits for its answer. Events that come before are looked at on the way.
func (c *chromium) call(method string, params any, into any) {
	c.t.Helper()
	if params == nil {
		params = map[string]any{}
	}
	if err := c.send(method, params); err != nil {
		c.t.Fatalf("%s: %v", method, err)
	}
	for {
		m := c.receive()
		if m.ID != c.last {
			continue
		}
		if m.Error != nil {
			c.t.Fatalf("%s: %s", method, m.Error.Message)
		}
		if into != nil {
			if err := json.Unmarshal(m.Result, into); err != nil {
				c.t.Fatalf("%s: %v", method, err)
			}
		}
		return
	}
}

func (c *chromium) receive() message {
	c.t.Helper()
	if err := c.pipe.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	b, err := c.out.ReadBytes(0)
	if err != nil {
		c.t.Fatalf("the browser is gone: %v", err)
	}
	var m message
	if err := json.Unmarshal(bytes.TrimSuffix(b, []byte{0}), &m); err != nil {
		c.t.Fatal(err)
	}
	switch m.Method {
	case "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.requestWillBeSent":
		c.said = append(c.said, m.Method+" "+string(m.Params))
	}
	return m
}

// open shows a page in a new tab, of that width and height in CSS pixels.
func (c *chromium) open(page string, width, height int, dark bool) {
	c.t.Helper()
	c.session = ""
	var target struct{ TargetID, SessionID string }
	c.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	c.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	c.session = target.SessionID
	c.said = nil
	for _, domain := range []string{"Page", "Log", "Runtime", "Network"} {
		c.call(domain+".enable", nil, nil)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	c.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	c.size(width, height)
	c.call("Page.navigate", map[string]any{"url": "file://" + page}, nil)
	for loaded := false; !loaded; {
		loaded = c.receive().Method == "Page.loadEventFired"
	}
}

func (c *chromium) size(width, height int) {
	c.t.Helper()
	c.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
}

// ask evaluates an expression of JavaScript. The page itself may run none: this comes from outside.
func (c *chromium) ask(expression string, into any) {
	c.t.Helper()
	var answer struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
	}
	c.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		c.t.Fatalf("%s: %s", expression, answer.ExceptionDetails)
	}
	if err := json.Unmarshal(answer.Result.Value, into); err != nil {
		c.t.Fatalf("%s: %v", expression, err)
	}
}

// loads are the addresses that the page has asked for, itself not included, and whatever went wrong.
func (c *chromium) loads(page string) []string {
	var out []string
	for _, s := range c.said {
		if !strings.Contains(s, `"url":"file://`+page+`"`) || !strings.HasPrefix(s, "Network.requestWillBeSent") {
			out = append(out, s)
		}
	}
	return out
}

// shot saves a picture of the page, as far down as a picture can be.
func (c *chromium) shot(file string) {
	c.t.Helper()
	var page struct{ W, H float64 }
	c.ask(`({w: document.documentElement.clientWidth, h: document.documentElement.scrollHeight})`, &page)
	var picture struct{ Data string }
	c.call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": true,
		"clip": map[string]float64{"x": 0, "y": 0, "width": page.W, "height": min(page.H, 14000), "scale": 1}}, &picture)
	c.save(file, picture.Data)
}

// print saves the page as it is printed.
func (c *chromium) print(file string) {
	c.t.Helper()
	var printed struct{ Data string }
	c.call("Page.printToPDF", map[string]any{"preferCSSPageSize": true, "printBackground": false, "displayHeaderFooter": false}, &printed)
	c.save(file, printed.Data)
}

func (c *chromium) save(file, data string) {
	c.t.Helper()
	b, err := base64.StdEncoding.DecodeString(data)
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}
