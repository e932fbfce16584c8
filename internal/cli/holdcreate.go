// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// holdFlags are what a hold is made from.
type holdFlags struct {
	datasets, classes        []string
	selector, secret, sealed string
	field, operator          string
	values                   []string
	reason, authority        string
	reference                string
}

func holdCreateCommand() *cobra.Command {
	t := &target{}
	f := &holdFlags{}
	var wait, dryRun bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME --reason … --authority …",
		Short: "Create a LegalHold: what it covers is not deleted or changed by anything",
		Long: "Create a LegalHold. Without --dataset, --data-class and --selector it covers everything in the Datastores of the namespace. " +
			"--secret, --sealed or --field narrow it to single records, with all that refers to them. What it keeps cannot be changed " +
			"afterwards; name it by a file number, never by a person.\n\n" +
			"It is a guarantee only once its condition Enforced is True: --wait waits for that, and ends with 0 then.",
		Example: "  kubectl retention hold create case-3-o-17-26 --dataset invoices --reason 'evidence in a pending case' --authority 'district court' --wait\n" +
			"  kubectl retention hold create case-4 --secret case-4-person --reason 'claim of the person' --authority 'legal department'\n" +
			"  kubectl retention hold create case-5 --dataset invoices --field number --operator In --value 2026-1170 --reason audit --authority 'tax office'",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			hold, err := f.hold(args[0])
			if err != nil {
				return err
			}
			c, err := t.connect()
			if err != nil {
				return err
			}
			hold.Namespace = c.namespace
			if dryRun {
				return outputYAML.object(cmd.OutOrStdout(), map[string]any{
					"apiVersion": v1alpha1.GroupVersion.String(), "kind": "LegalHold",
					"metadata": map[string]any{"name": hold.Name, "namespace": hold.Namespace}, "spec": hold.Spec,
				})
			}
			if err := c.Create(cmd.Context(), hold); err != nil {
				return c.explained(err, "creating hold %s/%s", hold.Namespace, hold.Name)
			}
			term := terminalOf(cmd, false)
			fmt.Fprintf(term.out, "Hold %s/%s is created, on %s.\n", hold.Namespace, hold.Name, scopeOf(hold))
			if !wait {
				fmt.Fprintf(term.out, "It is a guarantee once it is enforced: kubectl retention status -n %s\n", hold.Namespace)
				return nil
			}
			return c.followed(cmd, term, timeout, c.enforcement(hold.Name))
		},
	}
	t.flags(cmd)
	timeoutFlag(cmd, &timeout)
	f.flags(cmd)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the hold is enforced")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "print the LegalHold as YAML, and create nothing")
	return cmd
}

func (f *holdFlags) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.datasets, "dataset", nil, "dataset that is covered; may be repeated, or a list with commas")
	flags.StringSliceVar(&f.classes, "data-class", nil, "class of data that is covered; may be repeated, or a list with commas")
	flags.StringVarP(&f.selector, "selector", "l", "", "labels of the Datastores that are covered (default: all of the namespace)")
	flags.StringVar(&f.secret, "secret", "", "Secret of type dataretention.dev/subject: keep that person's records only")
	flags.StringVar(&f.sealed, "sealed", "", "file with what the command seal printed: keep that person's records only")
	flags.StringVar(&f.field, "field", "", "field of the datasets: keep only records by its value")
	flags.StringVar(&f.operator, "operator", "In", "how --field relates to --value: In, NotIn, AtLeast, AtMost, Exists or DoesNotExist")
	flags.StringArrayVar(&f.values, "value", nil, "value for --field; may be repeated")
	flags.StringVar(&f.reason, "reason", "", "why the data must be kept (required); it must not name a person")
	flags.StringVar(&f.authority, "authority", "", "who demands it: a court, an authority, the legal department (required)")
	flags.StringVar(&f.reference, "reference", "", "file number of the matter")
	flags.SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		switch name { // as the fields of the spec are called
		case "datasets":
			name = "dataset"
		case "data-classes":
			name = "data-class"
		}
		return pflag.NormalizedName(name)
	})
	complete(cmd, "operator", completeValues("In", "NotIn", "AtLeast", "AtMost", "Exists", "DoesNotExist"))
}

// hold is what the flags say.
func (f *holdFlags) hold(name string) (*v1alpha1.LegalHold, error) {
	switch {
	case strings.TrimSpace(f.reason) == "":
		return nil, errors.New("--reason is missing: why the data must be kept")
	case strings.TrimSpace(f.authority) == "":
		return nil, errors.New("--authority is missing: who demands it")
	case f.secret != "" && f.sealed != "":
		return nil, errors.New("give --secret or --sealed, not both")
	case f.field == "" && len(f.values) > 0:
		return nil, errors.New("--value needs --field, the field that has it")
	}
	h := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.LegalHoldSpec{
		Datasets: named[v1alpha1.DatasetName](f.datasets), DataClasses: named[v1alpha1.DataClass](f.classes),
		Reason: v1alpha1.CaseText(f.reason), Authority: v1alpha1.CaseText(f.authority), Reference: v1alpha1.CaseText(f.reference),
	}}
	if f.field != "" {
		h.Spec.Condition = &v1alpha1.HoldCondition{Field: v1alpha1.FieldName(f.field), Operator: v1alpha1.HoldOperator(f.operator), Values: named[v1alpha1.CaseText](f.values)}
	}
	if f.secret != "" {
		h.Spec.Subject = &v1alpha1.Subject{SecretRef: &v1alpha1.SecretReference{Name: f.secret}}
	}
	if f.sealed != "" {
		text, err := readLimited(f.sealed, maxSealed)
		if err != nil {
			return nil, fmt.Errorf("--sealed: %w", err)
		}
		h.Spec.Subject = &v1alpha1.Subject{Sealed: string(text)}
	}
	return h, f.selectDatastores(h)
}

// selectDatastores reads --selector.
func (f *holdFlags) selectDatastores(h *v1alpha1.LegalHold) error {
	if f.selector == "" {
		return nil
	}
	parsed, err := metav1.ParseToLabelSelector(f.selector)
	if err != nil {
		return fmt.Errorf("--selector: %w", err)
	}
	s := &v1alpha1.DatastoreSelector{}
	for key, value := range parsed.MatchLabels {
		if s.MatchLabels == nil {
			s.MatchLabels = map[string]v1alpha1.LabelValue{}
		}
		s.MatchLabels[key] = v1alpha1.LabelValue(value)
	}
	for _, e := range parsed.MatchExpressions {
		s.MatchExpressions = append(s.MatchExpressions, v1alpha1.LabelRequirement{Key: e.Key, Operator: v1alpha1.LabelOperator(e.Operator), Values: named[v1alpha1.LabelValue](e.Values)})
	}
	h.Spec.DatastoreSelector = s
	return nil
}

// named are texts of a type of their own.
func named[T ~string](list []string) []T {
	var out []T
	for _, s := range list {
		out = append(out, T(s))
	}
	return out
}

// readLimited reads a file of at most limit bytes; - is no name for the standard input.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return b, nil
}

// enforcement follows a hold until it is enforced. That it matches nothing, or cannot be read, ends it too.
func (c *cluster) enforcement(name string) followed {
	return func(ctx context.Context) (*situation, error) {
		h := &v1alpha1.LegalHold{}
		if err := c.get(ctx, name, h); err != nil {
			return nil, err
		}
		enforced := meta.FindStatusCondition(h.Status.Conditions, v1alpha1.ConditionEnforced)
		switch {
		case enforced == nil || h.Status.ObservedGeneration != h.Generation:
			return &situation{lines: []string{"Waiting for the operator to register the hold."}}, nil
		case enforced.Status == metav1.ConditionTrue:
			line := fmt.Sprintf("Hold %s is enforced: %s", name, enforced.Message)
			if h.Status.Records != nil {
				line += fmt.Sprintf(" It keeps %s.", records(*h.Status.Records))
			}
			return &situation{lines: []string{line}, over: true}, nil
		case enforced.Reason == v1alpha1.ReasonHoldUnreadable || enforced.Reason == v1alpha1.ReasonMatchesNothing:
			return &situation{lines: []string{fmt.Sprintf("Hold %s is NOT enforced. %s: %s", name, enforced.Reason, enforced.Message)}, over: true, code: exitNotAll}, nil
		}
		return &situation{lines: []string{fmt.Sprintf("%s: %s", enforced.Reason, enforced.Message)}}, nil
	}
}
