// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Subject names a person without naming them: the identifiers stand in a
// Secret, or are sealed to the operator's public key. An identifier in plain
// text has no place in any object of this API.
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) != has(self.sealed)",message="name the person in exactly one way: secretRef, a Secret of type dataretention.dev/subject, or sealed, what an age client made of the same lines with the operator's public key"
type Subject struct {
	// secretRef names a Secret of type dataretention.dev/subject in the same
	// namespace. Its keys are types of identifiers as data maps name them (email,
	// customer_id, phone, …), its values the identifiers, one per line. It is
	// mounted into the purge Pod; the operator itself never reads it.
	// +optional
	// +kubebuilder:validation:XValidation:rule=`self.name.matches('^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$') || (!self.name.matches('(-at-|[.]at[.]).+[.][a-z]{2}') && !self.name.matches('([0-9]{1,3}[.]){3}[0-9]') && self.name.findAll('[0-9]([.-]{0,2}[0-9]){8,}').all(n, n.matches('^(19|20)[0-9]{2}-([0-9][.-]?){1,8}$')))`,message="the Secret's name looks like an identifier of a person; name it by the file number of the request or of the matter, for example er-2026-0042"
	SecretRef *SecretReference `json:"secretRef,omitempty"`

	// sealed is the same content, one `type=identifier` per line, encrypted with
	// age to the operator's public key and armored. It is safe in Git. The key is
	// in the ConfigMap retention-sealing-key of the operator's namespace:
	// `age -a -r age1…`, or `retention-operator seal`. With the line
	// `# namespace: NAME` on top, which `retention-operator seal` writes, it is of
	// no use in any other namespace.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=16384
	// +kubebuilder:validation:XValidation:rule=`self.matches(r'^\s*-----BEGIN AGE ENCRYPTED FILE-----\s+([A-Za-z0-9+/=]+\s+)+-----END AGE ENCRYPTED FILE-----\s*$')`,message="write what `age --armor` prints, from -----BEGIN AGE ENCRYPTED FILE----- to -----END AGE ENCRYPTED FILE-----"
	Sealed string `json:"sealed,omitempty"`
}

// CaseText is a short text for people about a case, such as a file number. It
// must not name a person: what looks like an e-mail address, the number of a
// telephone or an account, or the address or identifier of a device is refused.
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=256
// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\p{Cc}')`,message="write one line of text, without line breaks and other control characters"
// +kubebuilder:validation:XValidation:rule=`!self.matches(r'[@＠﹫]|%40|[(\[{] ?at ?[)\]}]')`,message="this looks like an e-mail address or the name of an account; identifiers of a person belong into the subject's Secret, never into an object that is stored and logged in plain text"
// +kubebuilder:validation:XValidation:rule=`self.matches(r'^\P{Nd}*((19|20)[0-9]{2}[/-]([0-9][./ -]?){1,8}|([0-9][./ -]?){1,8}[/-](19|20)[0-9]{2})\P{Nd}*$') || !self.matches(r'\p{Nd}([ \x{a0}./()–-]{0,3}\p{Nd}){8}')`,message="this looks like the number of a telephone or an account (nine or more digits; a file number may have a year and eight digits, as in ER-2026-00012345); identifiers of a person belong into the subject's Secret, never into an object that is stored and logged in plain text"
// +kubebuilder:validation:XValidation:rule=`!self.matches(r'([0-9]{1,3}[.]){3}[0-9]|([0-9A-Fa-f]{1,4}:){4}|::[0-9A-Fa-f]|[0-9A-Fa-f]::|([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}')`,message="this looks like the address or the identifier of a device (IP, MAC, UUID); identifiers of a person belong into the subject's Secret, never into an object that is stored and logged in plain text"
type CaseText string
