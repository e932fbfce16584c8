// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// completionTimeout is how long a shell waits for names.
const completionTimeout = 3 * time.Second

// complete sets how the values of a flag are completed.
func complete(cmd *cobra.Command, flag string, how cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, how); err != nil {
		panic(err) // the flag was just made
	}
}

// completeValues offers some values.
func completeValues(values ...string) cobra.CompletionFunc {
	return cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)
}

// targetOf reads the target's flags of a command whose own variables are out of reach.
func targetOf(cmd *cobra.Command) *target {
	value := func(name string) string {
		if f := cmd.Flags().Lookup(name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	return &target{kubeconfig: value("kubeconfig"), context: value("context"), as: value("as"), namespace: value("namespace")}
}

func completeContexts(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	raw, err := targetOf(cmd).config().RawConfig()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(raw.Contexts)), cobra.ShellCompDirectiveNoFileComp
}

func completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	return namesOf(cmd, targetOf(cmd), &corev1.NamespaceList{}), cobra.ShellCompDirectiveNoFileComp
}

// completeNames offers, for the first argument, the names of objects of these lists.
func completeNames(lists ...func() client.ObjectList) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, list := range lists {
			out = append(out, namesOf(cmd, targetOf(cmd), list())...)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

func policies() client.ObjectList   { return &v1alpha1.RetentionPolicyList{} }
func datastores() client.ObjectList { return &v1alpha1.DatastoreList{} }
func requests() client.ObjectList   { return &v1alpha1.ErasureRequestList{} }
func legalHolds() client.ObjectList { return &v1alpha1.LegalHoldList{} }

// namesOf lists names; none if the cluster cannot be asked.
func namesOf(cmd *cobra.Command, t *target, list client.ObjectList) []string {
	c, err := t.connect()
	if err != nil {
		return nil
	}
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	if _, cluster := list.(*corev1.NamespaceList); cluster {
		c.namespace = ""
	}
	if err := c.List(ctx, list, client.InNamespace(c.namespace)); err != nil {
		return nil
	}
	var out []string
	_ = meta.EachListItem(list, func(o runtime.Object) error {
		if named, err := meta.Accessor(o); err == nil {
			out = append(out, named.GetName())
		}
		return nil
	})
	return out
}

// completeDatasets offers Datastores for the first argument, and the datasets of that one for the second.
func completeDatasets(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return namesOf(cmd, targetOf(cmd), datastores()), cobra.ShellCompDirectiveNoFileComp
	}
	c, err := targetOf(cmd).connect()
	if err != nil || len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), completionTimeout)
	defer cancel()
	ds := &v1alpha1.Datastore{}
	if err := c.get(ctx, args[0], ds); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var out []string
	for i := range ds.Spec.Datasets {
		out = append(out, string(ds.Spec.Datasets[i].Name))
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}
