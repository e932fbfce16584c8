// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"
)

const (
	maxName    = 63 // of a DNS label and of a label's value
	hashLength = 8
	slotLayout = "20060102150405"
)

// JobName returns the name of the Job for one datastore and one slot: a DNS label of at most 63 bytes that starts with
// what a person looks for and ends in a hash of everything, so that different arguments give different names. policy is
// empty for a probe. attempt tells Jobs of the same slot apart, such as "approved" after a guardrail; usually empty.
func JobName(policy, datastore string, slot time.Time, attempt string) string {
	if policy == "" {
		return jobName("probe", datastore, slot, "probe/"+attempt)
	}
	return jobName(policy, datastore, slot, attempt)
}

// ErasureJobName returns the name of the Job of an erasure run, as JobName does. attempt tells Jobs of one time apart.
func ErasureJobName(datastore string, at time.Time, attempt string) string {
	return jobName("erasure", datastore, at, "erasure/"+attempt)
}

// LookJobName returns the name of a Job that looks for what a hold keeps, or takes a person's identifiers in, as JobName
// does. name is of the LegalHold or of the ErasureRequest, attempt tells Jobs of one time apart.
func LookJobName(name string, at time.Time, attempt string) string {
	return jobName("look", name, at, "look/"+attempt)
}

func jobName(policy, datastore string, slot time.Time, attempt string) string {
	at := slot.UTC().Format(slotLayout)
	hash := shortHash(policy, datastore, slot.UTC().Format(time.RFC3339Nano), attempt)
	first, second := share(maxName-len(at)-len(hash)-3, label(policy), label(datastore))
	return first + "-" + second + "-" + at + "-" + hash
}

// RunName returns the name of a policy's run of one slot: "<policy>-<slot>" in UTC, at most 63 bytes. It has a hash only
// when the policy's name has to be cut or holds a dot.
func RunName(policy string, slot time.Time) string {
	at := slot.UTC().Format(slotLayout)
	name := label(policy)
	if limit := maxName - len(at) - 1; name != policy || len(name) > limit {
		name = cut(name, limit-hashLength-1) + "-" + shortHash(policy)
	}
	return name + "-" + at
}

// ErasureRunName returns the name of an erasure run on a datastore that began at a time, as RunName does.
func ErasureRunName(datastore string, at time.Time) string { return RunName("erasure-"+datastore, at) }

// LabelValue returns name if it may be a label's value, else a part of it with a hash of the whole.
func LabelValue(name string) string {
	if len(name) <= maxName {
		return name
	}
	return cut(name, maxName-hashLength-1) + "-" + shortHash(name)
}

// share cuts two names so that together they have at most limit bytes; what one does not need the other may use.
func share(limit int, a, b string) (first, second string) {
	half := limit / 2
	switch {
	case len(a) <= half:
		return a, cut(b, limit-len(a))
	case len(b) <= half:
		return cut(a, limit-len(b)), b
	}
	return cut(a, half), cut(b, limit-half)
}

// cut shortens a name to limit bytes and lets it end in a letter or digit.
func cut(name string, limit int) string {
	return strings.TrimRight(name[:min(len(name), limit)], "-._")
}

// label makes a DNS label of a DNS subdomain.
func label(name string) string { return strings.ReplaceAll(name, ".", "-") }

// shortHash has 40 bits of a SHA-256 over parts, in lower-case letters and digits.
func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:5]))[:hashLength]
}
