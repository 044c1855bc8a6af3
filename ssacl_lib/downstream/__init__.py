"""The paper's downstream tasks, asked of every encoder of the comparison: classification, segmentation, retrieval, robustness."""
