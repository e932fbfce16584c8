// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
)

const (
	// maxInput is far more than the identifiers of one person.
	maxInput = 1 << 20
	// maxSealed is what spec.subject.sealed may hold.
	maxSealed = 16384
)

// noIdentifiers refuses arguments, without quoting them.
func noIdentifiers(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return errors.New("identifiers are read from the standard input or by --from-file: arguments end up in the shell's history and in the list of processes")
	}
	return nil
}

func sealCommand() *cobra.Command {
	t := &target{}
	var file, key string
	cmd := &cobra.Command{
		Use:   "seal",
		Short: "Seal a person's identifiers to the operator, for spec.subject.sealed",
		Long: "Seal a person's identifiers to the operator, for spec.subject.sealed of an ErasureRequest or a LegalHold. They are read " +
			"from the standard input, one `type=identifier` per line, such as email=…; what is printed can be read by the operator only, and for " +
			"objects of the one namespace.",
		Args: noIdentifiers,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ids, err := readIdentifiers(cmd, file)
			if err != nil {
				return err
			}
			if key == "" {
				if key, err = publishedKey(cmd, t); err != nil {
					return err
				}
			}
			namespace := t.namespace
			if namespace == "" {
				if namespace, err = ownNamespace(t); err != nil {
					return err
				}
			}
			text, err := seal.Seal(key, []byte(subject.FormatFor(namespace, ids)))
			if err != nil {
				return err
			}
			if len(text) > maxSealed {
				return fmt.Errorf("the sealed text has %d bytes, and spec.subject.sealed holds %d: seal fewer identifiers", len(text), maxSealed)
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	t.flags(cmd)
	t.operatorFlag(cmd)
	flags := cmd.Flags()
	flags.StringVar(&file, "from-file", "", "file to read instead of the standard input")
	flags.StringVar(&key, "key", "", "public key of the operator, age1… (default: the one that it publishes in the cluster)")
	return cmd
}

// ownNamespace is the kubeconfig's. Without one nobody knows for which namespace to seal.
func ownNamespace(t *target) (string, error) {
	namespace, _, err := t.config().Namespace()
	if err != nil {
		return "", fmt.Errorf("--namespace is missing, that of the object which the text is for, and there is no other: %w", err)
	}
	return namespace, nil
}

func publishedKey(cmd *cobra.Command, t *target) (string, error) {
	c, err := t.connect()
	if err != nil {
		return "", err
	}
	c.namespace = t.operator
	cm := &corev1.ConfigMap{}
	if err := c.get(cmd.Context(), seal.ConfigMapName, cm); err != nil {
		return "", fmt.Errorf("looking for the operator's public key: %w", err)
	}
	return cm.Data[seal.PublicKey], nil
}

func verifySubjectCommand() *cobra.Command {
	t := &target{}
	var file string
	var commitments []string
	cmd := &cobra.Command{
		Use:   "verify-subject [ERASUREREQUEST]",
		Short: "Check whether an ErasureRequest was about an identifier",
		Long: "Check whether an ErasureRequest was about an identifier, by the commitments in its status. The identifier is read from the " +
			"standard input as `type=identifier`, written exactly as the request had it. The exit code is 0 if it was, 1 if it was " +
			"not, and 2 if that cannot be told.",
		Args:              arguments(0, 1),
		ValidArgsFunction: completeNames(requests),
		RunE: func(cmd *cobra.Command, args []string) error {
			yes, err := wasAbout(cmd, t, args, file, commitments)
			switch {
			case err != nil:
				return &ExitError{Code: exitUnknown, Err: err}
			case !yes:
				fmt.Fprintln(cmd.OutOrStdout(), "No: the request was not about this identifier, written in this way.")
				return &ExitError{Code: exitFailed}
			}
			fmt.Fprintln(cmd.OutOrStdout(), "Yes: the request was about this identifier.")
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&file, "from-file", "", "file to read instead of the standard input")
	cmd.Flags().StringArrayVar(&commitments, "commitment", nil, "commitment to check instead of those of an ErasureRequest; may be repeated")
	return cannotTell(cmd)
}

func wasAbout(cmd *cobra.Command, t *target, args []string, file string, commitments []string) (bool, error) {
	if (len(args) > 0) == (len(commitments) > 0) {
		return false, errors.New("give either the name of an ErasureRequest, or --commitment")
	}
	ids, err := readIdentifiers(cmd, file)
	if err != nil {
		return false, err
	}
	if len(ids) != 1 {
		return false, errors.New("give one identifier at a time")
	}
	if len(args) > 0 {
		c, err := t.connect()
		if err != nil {
			return false, err
		}
		request := &v1alpha1.ErasureRequest{}
		if err := c.get(cmd.Context(), args[0], request); err != nil {
			return false, err
		}
		if commitments = request.Status.Commitments; len(commitments) == 0 {
			return false, errors.New("the request has no commitments, or none yet")
		}
	}
	for _, commitment := range commitments {
		if subject.Committed(commitment, ids[0]) {
			return true, nil
		}
	}
	return false, nil
}

// readIdentifiers reads the lines of a file, or of the standard input.
func readIdentifiers(cmd *cobra.Command, file string) ([]subject.Identifier, error) {
	in := cmd.InOrStdin()
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("reading the identifiers: %w", err)
	}
	if len(text) > maxInput {
		return nil, fmt.Errorf("there are more than %d bytes of identifiers", maxInput)
	}
	ids, err := subject.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("reading the identifiers: %w", err)
	}
	return ids, nil
}
