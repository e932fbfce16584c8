// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

func TestSmoke(t *testing.T) {
	srv := apiserver.Get(t)
	ds := &v1alpha1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: srv.Namespace(t)},
		Spec: v1alpha1.DatastoreSpec{
			PostgreSQL: &v1alpha1.PostgreSQL{SecretRef: v1alpha1.SecretReference{Name: "a"}},
			Datasets:   []v1alpha1.Dataset{{Name: "t"}},
		},
	}
	if err := srv.Client.Create(t.Context(), ds); err != nil {
		t.Fatal(err)
	}
}
