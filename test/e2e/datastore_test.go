// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// TestWhatIsWrongHasItsOwnReason gives a Datastore everything that people get wrong.
func TestWhatIsWrongHasItsOwnReason(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int PRIMARY KEY, at timestamptz)`)
	e.connection("good", nil)
	e.connection("password", func(d map[string]string) { d["password"] = "wrong" })
	e.connection("database", func(d map[string]string) { d["database"] = "nowhere" })
	e.connection("port", func(d map[string]string) { d["port"] = "1" })
	e.connection("incomplete", func(d map[string]string) { delete(d, "username") })

	type want struct{ condition, reason, names string }
	stores := map[string]struct {
		secret, table, field string
		want                 want
	}{
		"missing-secret":  {"nowhere", "event", "at", want{retentionv1.ConditionReachable, "SecretIncomplete", "nowhere"}},
		"incomplete":      {"incomplete", "event", "at", want{retentionv1.ConditionReachable, "SecretIncomplete", "username"}},
		"wrong-password":  {"password", "event", "at", want{retentionv1.ConditionReachable, "AuthenticationFailed", ""}},
		"wrong-database":  {"database", "event", "at", want{retentionv1.ConditionReachable, "DatabaseNotFound", ""}},
		"unreachable":     {"port", "event", "at", want{retentionv1.ConditionReachable, "Unreachable", ""}},
		"missing-table":   {"good", "evnt", "at", want{retentionv1.ConditionSchemaMatches, "TableNotFound", "evnt"}},
		"missing-field":   {"good", "event", "att", want{retentionv1.ConditionSchemaMatches, "FieldNotFound", "att"}},
		"not-a-timestamp": {"good", "event", "id", want{retentionv1.ConditionSchemaMatches, "TypeNotSupported", "id"}},
	}
	for name, s := range stores {
		e.must(e.c.Create(t.Context(), &retentionv1.Datastore{
			ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name},
			Spec: retentionv1.DatastoreSpec{
				PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: s.secret}},
				Datasets:   []retentionv1.Dataset{{Name: retentionv1.DatasetName(s.table), TimestampField: retentionv1.FieldName(s.field)}},
			},
		}))
	}
	for name, s := range stores {
		ds := &retentionv1.Datastore{}
		e.waitFor(4*time.Minute, name+" to say "+s.want.reason, func() (bool, string) {
			e.must(e.c.Get(t.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, ds))
			c := meta.FindStatusCondition(ds.Status.Conditions, s.want.condition)
			ok := c != nil && c.Status == metav1.ConditionFalse && c.Reason == s.want.reason && strings.Contains(c.Message, s.want.names)
			return ok, fmt.Sprint(ds.Status.Conditions)
		})
		if meta.IsStatusConditionTrue(ds.Status.Conditions, retentionv1.ConditionReady) {
			t.Errorf("%s is ready", name)
		}
		if strings.Contains(fmt.Sprint(ds.Status), "not-a-secret") {
			t.Errorf("%s shows the password", name)
		}
	}
}
