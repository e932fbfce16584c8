// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"slices"

	"dataretention.dev/retention-operator/internal/plan"
)

// foresee returns the step's foreign keys. In a simulation, children that an earlier step of the Plan would delete do not
// count. That looks one generation ahead: a child that is itself kept, by a grandchild, is taken for gone, so that Blocked is
// then a lower bound.
func (st *deleteStep) foresee(ctx context.Context) []foreignKey {
	if st.s.in.Plan.Mode != plan.Simulate || len(st.keys) == 0 {
		return st.keys
	}
	keys := slices.Clone(st.keys)
	for _, step := range st.s.in.Plan.Steps {
		if step.Path == st.step.Path {
			break
		}
		if step.Action != plan.Delete {
			continue
		}
		child, err := st.s.lookup(ctx, step.Path)
		if err != nil {
			continue // that step fails and deletes nothing
		}
		due, err := st.s.resolveDue(ctx, step, child)
		if err != nil {
			continue
		}
		for i := range keys {
			if slices.Contains(keys[i].childTree, child.oid) {
				keys[i].going = append(slices.Clone(keys[i].going), due)
			}
		}
	}
	return keys
}
