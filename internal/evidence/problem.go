// SPDX-License-Identifier: Apache-2.0

package evidence

import "fmt"

// Code names a Problem for programs. Codes never change their meaning.
type Code string

// What can be wrong with a bundle, a checkpoint, a trust file or an exported ledger.
const (
	// The file.
	CodeTooLarge  Code = "TooLarge"
	CodeMalformed Code = "Malformed" // not what it should be: no JSON, cut off, something after the end
	CodeDuplicate Code = "DuplicateName"
	CodeUnknown   Code = "UnknownContent" // a field that this version does not know, or writes otherwise
	CodeMediaType Code = "MediaType"
	CodeEncoding  Code = "Encoding" // no standard base64
	// The envelope and its statement.
	CodePayloadType      Code = "PayloadType"
	CodeSignatures       Code = "Signatures"       // none, or more than one
	CodeSignature        Code = "Signature"        // of no trusted key, for whatever reason
	CodeStatementChanged Code = "StatementChanged" // after it was signed
	CodeReencoded        Code = "Reencoded"        // the same content in other bytes than those that were signed
	CodeSignatureSwapped Code = "SignatureSwapped" // by another than the one in the ledger
	CodeUnknownKey       Code = "UnknownKey"
	CodeKeyUse           Code = "KeyUse" // a key that is trusted for something else
	CodeStatementType    Code = "StatementType"
	CodeStatement        Code = "Statement" // says what a statement may not say
	CodeLevel            Code = "Level"     // claims more than its parts do
	// The ledger's entry and the proof.
	CodeLeaf            Code = "Leaf"
	CodeOtherLeaf       Code = "OtherLeaf" // the entry of another statement
	CodeProof           Code = "Proof"     // not in the form of a proof
	CodeProofLength     Code = "ProofLength"
	CodeIndex           Code = "Index"
	CodeInclusion       Code = "Inclusion"
	CodeCheckpoint      Code = "Checkpoint" // not in the form of a checkpoint
	CodeOrigin          Code = "Origin"
	CodeLogSignature    Code = "LogSignature"
	CodeWitness         Code = "Witness" // a cosignature that does not fit
	CodeWitnessMissing  Code = "WitnessMissing"
	CodeTime            Code = "Time"
	CodeConsistency     Code = "Consistency"
	CodeNoStatementKeys Code = "NoStatementKeys"
	CodeNoLogKeys       Code = "NoLogKeys"
	CodeNoWitnessKeys   Code = "NoWitnessKeys"
	// The keys.
	CodeKeys Code = "Keys"
	// The exported ledger.
	CodeEntries          Code = "Entries" // missing, cut off, or too many
	CodeRoot             Code = "Root"    // the entries do not lead to the checkpoint
	CodeTruncated        Code = "Truncated"
	CodeRewritten        Code = "Rewritten"
	CodeTile             Code = "Tile"
	CodeDuplicateKey     Code = "DuplicateKey"
	CodeCloses           Code = "Closes"
	CodeSecondResult     Code = "SecondResult"
	CodeDangling         Code = "Dangling"
	CodeStatementMissing Code = "StatementMissing"
	CodePruned           Code = "Pruned" // a removal that was not due, or not announced
)

// Problem is why something is not accepted. It is the error of Verify, VerifyConsistent and ParseTrust.
type Problem struct {
	Code Code `json:"code"`
	// Sentence says in plain words what does not fit.
	Sentence string `json:"message"`
	// Index is the entry that it is about, in a LogReport.
	Index *int64 `json:"index,omitempty"`
}

// Error returns the sentence.
func (p *Problem) Error() string { return p.Sentence }

func problem(code Code, format string, args ...any) *Problem {
	return &Problem{Code: code, Sentence: fmt.Sprintf(format, args...)}
}
