"""The corpora of the paper's Table 1, each read from the layout in which its publisher gives it out."""

from textpro.data.corpora import acted, common_voice, esd, iemocap, librispeech, paraspeechcaps, texts
from textpro.data.corpora.corpus import Corpus

CORPORA = {
    corpus.name: corpus
    for corpus in (
        Corpus(
            "librispeech",
            "LibriSpeech with LibriSpeech-PC",
            "openslr.org, resources 12 (recordings) and 145 (manifests with punctuation)",
            librispeech.read,
            librispeech.SPLITS,
            librispeech.TRAIN,
        ),
        Corpus(
            "commonsenseqa",
            "CommonsenseQA",
            "tau-nlp.org/commonsenseqa, or tau/commonsense_qa on the Hugging Face hub",
            texts.read_commonsenseqa,
            tuple(texts.COMMONSENSEQA),
            ("train",),
        ),
        Corpus(
            "ultrachat",
            "UltraChat",
            "openbmb/UltraChat on the Hugging Face hub",
            texts.read_ultrachat,
            texts.ULTRACHAT,
            ("train_2",),
        ),
        Corpus(
            "paraspeechcaps",
            "ParaSpeechCaps",
            "ajd12342/paraspeechcaps on the Hugging Face hub (captions); its project's page says how to get and "
            "prepare the audio of VoxCeleb, Expresso, EARS and Emilia",
            paraspeechcaps.read,
            paraspeechcaps.SPLITS,
            paraspeechcaps.BASE,
        ),
        Corpus(
            "iemocap",
            "IEMOCAP",
            "sail.usc.edu/iemocap, on request (IEMOCAP_full_release)",
            iemocap.read,
            iemocap.SESSIONS,
        ),
        Corpus(
            "crema-d",
            "CREMA-D",
            "github.com/CheyneyComputerScience/CREMA-D, with Git LFS",
            acted.read_crema_d,
        ),
        Corpus("savee", "SAVEE", "kahlan.eps.surrey.ac.uk/savee, on registration", acted.read_savee),
        Corpus("tess", "TESS", "the University of Toronto's Dataverse (Borealis)", acted.read_tess),
        Corpus(
            "esd",
            "ESD",
            "github.com/HLTSingapore/Emotional-Speech-Data, on request",
            esd.read,
            esd.SPLITS,
        ),
        Corpus(
            "common-voice",
            "Common Voice",
            "Mozilla's Common Voice data collection, English, scripted speech",
            common_voice.read,
            common_voice.SPLITS,
            ("train",),
        ),
    )
}
