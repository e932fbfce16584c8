// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// SecretReference names a Secret of the same namespace.
type SecretReference struct {
	// name is the name of a Secret in the namespace of the object that refers to
	// it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="write the name of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name,omitempty"`
}

// SecretKeyReference names one key of a Secret of the same namespace.
type SecretKeyReference struct {
	// name is the name of a Secret in the namespace of the object that refers to
	// it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`self.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')`,message="write the name of a Secret: lower-case letters, digits, '-' and '.'"
	Name string `json:"name,omitempty"`

	// key is the key of the Secret's data. Its value must have at least 16 bytes.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && self != '..'",message="write a key of the Secret: letters, digits, '-', '_' and '.'"
	Key string `json:"key,omitempty"`
}

// Period is an ISO 8601 calendar period such as P90D, P11M, P7Y, P2W or PT12H.
// Months and years are calendar months and years: 31 January plus P1M is the
// last day of February.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^P([0-9]{1,3}Y)?([0-9]{1,4}M)?([0-9]{1,4}W)?([0-9]{1,5}D)?(T([0-9]{1,5}H)?([0-9]{1,5}M)?([0-9]{1,5}S)?)?$') && self.matches('[1-9]') && !self.endsWith('T')",message="write an ISO 8601 calendar period that is longer than zero and shorter than 1000 years, for example P90D, P11M, P7Y or PT12H"
type Period string

// TimeZone is the IANA name of a time zone, such as Europe/Berlin or
// Asia/Taipei.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=64
// +kubebuilder:validation:XValidation:rule=`self.matches('^[A-Za-z][A-Za-z0-9_+/-]*$') && !self.matches('^(Local|localtime|posixrules|right/.*)$') && timestamp('2000-01-01T00:00:00Z').getHours(self) >= 0`,message="write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei"
type TimeZone string

// FieldName is the name of a field (a column) as the datastore spells it, case
// included.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=128
// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\p{Cc}')`,message="write the field's name as the datastore spells it, without control characters"
type FieldName string

// DatasetName is the name of a dataset in the data map of a Datastore.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?$')",message="write a name of letters, digits, '_' and '-'; if the table is called otherwise, put its name into path"
type DatasetName string

// DataClass is a class of personal data that one deletion rule applies to,
// wherever it is stored: the PII cluster of ISO/IEC 27555.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$')",message="write a class of letters, digits, '.', '_' and '-', for example cookies or contact"
type DataClass string

// PlainText is a short text for people. It must not hold personal data: it is
// copied into evidence.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\p{Cc}')`,message="write one line of text, without line breaks and other control characters"
type PlainText string

// DatastoreSelector selects Datastores by their labels. It has the shape of a
// label selector; all its requirements must hold.
// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && self.matchExpressions.exists(e, e.operator in ['In', 'Exists']))",message="name at least one label that a Datastore must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach datastores that nobody meant"
type DatastoreSelector struct {
	// matchLabels are labels that a Datastore must carry with exactly these
	// values.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))`,message="write keys of labels, for example app or data.example.com/personal"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are further requirements on labels.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []LabelRequirement `json:"matchExpressions,omitempty"`
}

// LabelValue is the value of a label.
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule=`self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')`,message="write a label's value: letters, digits, '-', '_' and '.', beginning and ending with a letter or a digit"
type LabelValue string

// LabelRequirement is one requirement on a label.
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] ? has(self.values) && size(self.values) > 0 : !has(self.values) || size(self.values) == 0",message="give values with In and NotIn, and none with Exists and DoesNotExist"
type LabelRequirement struct {
	// key is the label's key.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=317
	// +kubebuilder:validation:XValidation:rule=`self.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$')`,message="write the key of a label, for example app or data.example.com/personal"
	Key string `json:"key,omitempty"`

	// operator relates the label to the values: In, NotIn, Exists or DoesNotExist.
	// +required
	Operator LabelOperator `json:"operator,omitempty"`

	// values are the values for In and NotIn.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Values []LabelValue `json:"values,omitempty"`
}

// LabelOperator relates a label to values.
// +kubebuilder:validation:Enum=In;NotIn;Exists;DoesNotExist
type LabelOperator string

// AsLabelSelector returns s as the type that apimachinery's selectors are made
// from.
func (s DatastoreSelector) AsLabelSelector() *metav1.LabelSelector {
	out := &metav1.LabelSelector{}
	if len(s.MatchLabels) > 0 {
		out.MatchLabels = make(map[string]string, len(s.MatchLabels))
		for k, v := range s.MatchLabels {
			out.MatchLabels[k] = string(v)
		}
	}
	for _, e := range s.MatchExpressions {
		values := make([]string, len(e.Values))
		for i, v := range e.Values {
			values[i] = string(v)
		}
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: e.Key, Operator: metav1.LabelSelectorOperator(e.Operator), Values: values,
		})
	}
	return out
}
