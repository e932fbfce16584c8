// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"os"
	"path/filepath"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// Grant gives subjects the rights of a file of config/rbac: those of a Role in the namespace, those of a ClusterRole everywhere.
func (s *Server) Grant(tb testing.TB, namespace, file string, subjects ...rbacv1.Subject) {
	tb.Helper()
	root, err := fixture.Root()
	if err != nil {
		tb.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "config/rbac", file))
	if err != nil {
		tb.Fatal(err)
	}
	meta := metav1.TypeMeta{}
	if err := yaml.Unmarshal(text, &meta); err != nil {
		tb.Fatal(err)
	}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: meta.Kind}
	var objects []client.Object
	switch meta.Kind {
	case "Role":
		role := &rbacv1.Role{}
		err = yaml.UnmarshalStrict(text, role)
		role.Namespace, ref.Name = namespace, role.Name
		objects = []client.Object{role, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role.Name}, Subjects: subjects, RoleRef: ref,
		}}
	case "ClusterRole":
		role := &rbacv1.ClusterRole{}
		err = yaml.UnmarshalStrict(text, role)
		role.Name += "-of-" + namespace // others run beside it
		ref.Name = role.Name
		objects = []client.Object{role, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: role.Name}, Subjects: subjects, RoleRef: ref,
		}}
	default:
		tb.Fatalf("%s has a %s", file, meta.Kind)
	}
	if err != nil {
		tb.Fatal(err)
	}
	for _, obj := range objects {
		if err := s.Client.Create(tb.Context(), obj); err != nil {
			tb.Fatal(err)
		}
	}
}

// User is a subject that As can act as.
func User(name string) rbacv1.Subject {
	return rbacv1.Subject{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}
}
