// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// kinds are how a person may write a kind in front of a name.
var kinds = map[string][]string{
	"policy":    {"policy", "policies", "retentionpolicy", "retentionpolicies", "retpol"},
	"datastore": {"datastore", "datastores", "dstore"},
	"request":   {"request", "requests", "erasurerequest", "erasurerequests", "erasure"},
	"hold":      {"hold", "holds", "legalhold", "legalholds"},
}

// kindOf is the kind of an object as a person is told of it.
func kindOf(obj client.Object) string {
	switch obj.(type) {
	case *v1alpha1.RetentionPolicy:
		return "policy"
	case *v1alpha1.Datastore:
		return "datastore"
	case *v1alpha1.ErasureRequest:
		return "request"
	}
	return "hold"
}

// splitKind takes a kind off a name: policy/telemetry. The kind is one of the keys of kinds, or empty.
func splitKind(name string) (kind, rest string, err error) {
	before, after, found := strings.Cut(name, "/")
	if !found {
		return "", name, nil
	}
	word := strings.ToLower(strings.TrimSuffix(before, "."+v1alpha1.Group))
	for kind, words := range kinds {
		if slices.Contains(words, word) {
			return kind, after, nil
		}
	}
	return "", "", fmt.Errorf("%q is no kind: write policy/NAME, datastore/NAME, request/NAME or hold/NAME", before)
}

// find returns the object that a name means: the one of these kinds that exists.
func (c *cluster) find(ctx context.Context, name string, kinds ...client.Object) (client.Object, error) {
	kind, rest, err := splitKind(name)
	if err != nil {
		return nil, err
	}
	var found []client.Object
	var names []string
	for _, obj := range kinds {
		names = append(names, kindOf(obj))
		if kind != "" && kindOf(obj) != kind {
			continue
		}
		switch err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: rest}, obj); {
		case err == nil:
			found = append(found, obj)
		case client.IgnoreNotFound(err) != nil:
			return nil, c.explained(err, "reading %s %s/%s", kindOf(obj), c.namespace, rest)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, &notFound{fmt.Sprintf("namespace %s has no %s with the name %s", c.namespace, either(kind, names), rest)}
	}
	var ways []string
	for _, obj := range found {
		ways = append(ways, kindOf(obj)+"/"+rest)
	}
	return nil, fmt.Errorf("%s may mean several objects: write %s", rest, strings.Join(ways, " or "))
}

// notFound says that there is no such object.
type notFound struct{ text string }

func (e *notFound) Error() string { return e.text }

func either(kind string, names []string) string {
	if kind != "" {
		return kind
	}
	return strings.Join(names, " or ")
}
