// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// TestErasureTwoDatastores erases a person from two datastores of which only the first knows the e-mail address, and looks
// everywhere in the cluster for the two identifiers of the person afterwards.
func TestErasureTwoDatastores(t *testing.T) {
	crm := newEnv(t, database)
	shop := crm.beside(database)
	// Values that nothing else in the cluster can contain by chance.
	id := func(n int) string { return fmt.Sprintf("%016x%016x", rand.Uint64(), rand.Uint64())[:n] }
	email, customerID := id(24)+"@"+id(12)+".example", "k"+id(28)
	postgres.Exec(t, crm.db, fmt.Sprintf(`CREATE TABLE contact (email text PRIMARY KEY, customer_id text NOT NULL, name text);
		INSERT INTO contact SELECT 'customer' || i || '@shop.example', 'c' || i, 'somebody' FROM generate_series(1, 50) i;
		INSERT INTO contact VALUES ('%s', '%s', 'the person')`, email, customerID))
	postgres.Exec(t, shop.db, fmt.Sprintf(`CREATE TABLE purchase (id int PRIMARY KEY, customer_id text NOT NULL);
		CREATE TABLE parcel (purchase_id int REFERENCES purchase, address text);
		INSERT INTO purchase SELECT i, CASE WHEN i %% 10 = 0 THEN '%s' ELSE 'c' || i END FROM generate_series(1, 50) i;
		INSERT INTO parcel SELECT i, 'somewhere' FROM generate_series(1, 50) i`, customerID))
	crm.datastoreNamed("crm", nil, dataset("contact", func(d *retentionv1.Dataset) {
		d.Identifiers = []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase}, {Type: "customer_id", Field: "customer_id"}}
		d.OnErasure = erases(retentionv1.ErasureActionDelete)
	}))
	shop.datastoreNamed("shop", nil,
		dataset("purchase", func(d *retentionv1.Dataset) {
			d.Identifiers = []retentionv1.Identifier{{Type: "customer_id", Field: "customer_id"}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}),
		dataset("parcel", func(d *retentionv1.Dataset) {
			d.References = []retentionv1.Reference{{Field: "purchase_id", Dataset: "purchase", Key: "id"}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}))
	contacts := crm.fingerprint(map[string]string{"contact": "email = '" + email + "'"})
	purchases := shop.fingerprint(map[string]string{"purchase": "id % 10 = 0", "parcel": "purchase_id % 10 = 0"})
	kept := keepLogs()

	r := crm.erasure("two", crm.subject("two", map[string]string{"email": email}), nil)
	crm.waitFor(4*time.Minute, "the answer", func() (bool, string) {
		kept.look(t)
		crm.must(crm.c.Get(t.Context(), client.ObjectKeyFromObject(r), r))
		return r.Status.State == retentionv1.ErasureAnswered, fmt.Sprintf("%+v", r.Status)
	})
	crm.expectAnswer(r, retentionv1.ErasureDeleted, 11, 11)
	if n := ptr.Deref(crm.became(r, "shop", "parcel").Deleted, -1); n != 5 {
		t.Errorf("%d parcels were deleted, want 5", n)
	}
	expectUntouched(t, contacts, crm.fingerprint(nil))
	expectUntouched(t, purchases, shop.fingerprint(nil))

	crm.waitFor(time.Minute, "the subject's Secret to be deleted", func() (bool, string) { return crm.subjectIsGone("two"), "" })
	kept.look(t)
	sought := append(traces(email), traces(customerID)...)
	for name, where := range map[string]io.Reader{
		"an object of the cluster": crm.everything(),
		"a container's log":        kept.all(t),
		"the audit log":            auditLog(t),
		"the evidence ledger":      crm.ledgerContents(),
	} {
		// What is known to be there must be found, or it was not looked at.
		found := search(t, where, append(sought, crm.namespace))
		if found[crm.namespace] == "" {
			t.Errorf("%s: not even the namespace %s is there", name, crm.namespace)
		}
		for _, trace := range sought {
			if found[trace] != "" {
				t.Errorf("%s holds an identifier of the person as %s: %s", name, trace, found[trace])
			}
		}
	}
}

// traces are the ways in which a value may stand somewhere: as it is, in hexadecimal, and in base64 at any offset.
func traces(value string) []string {
	list := []string{value, hex.EncodeToString([]byte(value))}
	for offset := range 3 {
		padded := append(make([]byte, offset), value...)
		whole := len(padded) / 3 * 4
		list = append(list, base64.StdEncoding.EncodeToString(padded)[4*((offset+2)/3):whole])
	}
	return list
}

// search returns for each text the first line that has it.
func search(t *testing.T, where io.Reader, texts []string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for r := bufio.NewReaderSize(where, 1<<20); ; {
		line, err := r.ReadBytes('\n')
		for _, text := range texts {
			if at := bytes.Index(line, []byte(text)); at >= 0 && found[text] == "" {
				found[text] = string(line[max(0, at-200):min(len(line), at+300)])
			}
		}
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// everything is every object of every kind in the cluster, events and Secrets included.
func (e *env) everything() io.Reader {
	e.t.Helper()
	kinds := strings.Fields(string(e.kubectl("api-resources", "--verbs=list", "-o", "name")))
	return bytes.NewReader(e.kubectl("get", "-A", "-o", "yaml", "--show-managed-fields", strings.Join(kinds, ",")))
}

// kubectl runs the cluster's own kubectl.
func (e *env) kubectl(args ...string) []byte {
	e.t.Helper()
	path := os.Getenv("KUBECTL")
	if path == "" {
		path = "kubectl"
	}
	cmd := exec.CommandContext(e.t.Context(), path, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("kubectl %v: %v: %s", args, err, stderr.String())
	}
	return out
}

// auditLog is what the API server has recorded of all requests.
func auditLog(t *testing.T) io.Reader {
	t.Helper()
	f, err := os.Open(filepath.Join(filepath.Dir(os.Getenv("KUBECONFIG")), "logs", "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// logs are the logs of containers, held open so that they can be read when their Pods are gone.
type logs struct {
	pattern string
	files   map[string]*os.File
}

// keepLogs holds the logs of all Pods of the cluster, as the node has them.
func keepLogs() *logs {
	return &logs{pattern: filepath.Join(filepath.Dir(os.Getenv("KUBECONFIG")), "pods", "*", "*", "*.log*"), files: map[string]*os.File{}}
}

func (l *logs) look(t *testing.T) {
	t.Helper()
	paths, err := filepath.Glob(l.pattern)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if l.files[path] != nil {
			continue
		}
		f, err := os.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		l.files[path] = f
	}
}

// all reads every log, with the path of its file before it.
func (l *logs) all(t *testing.T) io.Reader {
	t.Helper()
	var readers []io.Reader
	for path, f := range l.files {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		readers = append(readers, strings.NewReader("\n"+path+"\n"), f)
	}
	return io.MultiReader(readers...)
}
