// SPDX-License-Identifier: Apache-2.0

package status

import (
	"context"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Patcher writes what changed in an object's status since the object was read, or since the last Patch.
type Patcher struct {
	client client.StatusClient
	obj    client.Object
	base   client.Object
}

// NewPatcher is called right after the object was read, before anything of it changes.
func NewPatcher(c client.StatusClient, obj client.Object) *Patcher {
	return &Patcher{client: c, obj: obj, base: snapshot(obj)}
}

// Patch writes all changes of the status in one merge patch, which the API server refuses with a conflict if anybody
// else has written the object meanwhile: a decision made from an old status is never stored. It returns whether there was
// anything to write. On success the object is what the API server returned, and further changes can be patched.
func (p *Patcher) Patch(ctx context.Context) (changed bool, err error) {
	changes, err := client.MergeFrom(p.base).Data(p.obj)
	if err != nil {
		return false, fmt.Errorf("comparing the status: %w", err)
	}
	if string(changes) == "{}" {
		return false, nil
	}
	locked := client.MergeFromWithOptions(p.base, client.MergeFromWithOptimisticLock{})
	if err := p.client.Status().Patch(ctx, p.obj, locked); err != nil {
		return false, fmt.Errorf("writing the status: %w", err)
	}
	p.base = snapshot(p.obj)
	return true, nil
}

func snapshot(obj client.Object) client.Object {
	return obj.DeepCopyObject().(client.Object) // a copy of an object is an object
}
